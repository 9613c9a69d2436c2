-- number: 9, min_reader: 1
ALTER TABLE `audit_event` ADD `times` integer DEFAULT 1 NOT NULL;
--> statement-breakpoint
ALTER TABLE `audit_event` ADD `refusal` text;
--> statement-breakpoint
CREATE INDEX `audit_event_owner` ON `audit_event` (`owner_id`,`id`);
--> statement-breakpoint
CREATE UNIQUE INDEX `audit_event_refusal` ON `audit_event` (`refusal`) WHERE "audit_event"."refusal" IS NOT NULL;
--> statement-breakpoint
ALTER TABLE `package_file` ADD `quarantine` text;
