-- number: 3, min_reader: 1
CREATE TABLE `principal` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`kind` text NOT NULL
);
--> statement-breakpoint
ALTER TABLE `user` ADD `principal_id` integer REFERENCES principal(id);--> statement-breakpoint
INSERT INTO `principal` (`id`, `kind`) SELECT `id`, 'user' FROM `user`;--> statement-breakpoint
UPDATE `user` SET `principal_id` = `id`;--> statement-breakpoint
CREATE UNIQUE INDEX `user_principal` ON `user` (`principal_id`);--> statement-breakpoint
CREATE TABLE `new_grant` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`principal_id` integer,
	`user_id` integer,
	`owner_id` integer,
	`channel_id` integer,
	`role` text NOT NULL,
	`created` integer NOT NULL,
	FOREIGN KEY (`principal_id`) REFERENCES `principal`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`owner_id`) REFERENCES `owner`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`channel_id`) REFERENCES `channel`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
INSERT INTO `new_grant` (`id`, `principal_id`, `user_id`, `owner_id`, `channel_id`, `role`, `created`)
	SELECT `id`, `user_id`, `user_id`, `owner_id`, `channel_id`, `role`, `created` FROM `grant`;--> statement-breakpoint
DROP TABLE `grant`;--> statement-breakpoint
ALTER TABLE `new_grant` RENAME TO `grant`;--> statement-breakpoint
CREATE UNIQUE INDEX `grant_owner` ON `grant` (`principal_id`,`owner_id`);--> statement-breakpoint
CREATE UNIQUE INDEX `grant_channel` ON `grant` (`principal_id`,`channel_id`);--> statement-breakpoint
-- The release before knows no principals: what it writes after a rollback gets one here.
CREATE TRIGGER `user_without_principal` AFTER INSERT ON `user` WHEN NEW.`principal_id` IS NULL BEGIN
	INSERT INTO `principal` (`kind`) VALUES ('user');
	UPDATE `user` SET `principal_id` = last_insert_rowid() WHERE `id` = NEW.`id`;
END;
--> statement-breakpoint
CREATE TRIGGER `grant_without_principal` AFTER INSERT ON `grant` WHEN NEW.`principal_id` IS NULL BEGIN
	UPDATE `grant` SET `principal_id` = (SELECT `principal_id` FROM `user` WHERE `id` = NEW.`user_id`) WHERE `id` = NEW.`id`;
END;
--> statement-breakpoint
ALTER TABLE `owner` ADD `hidden` integer DEFAULT false NOT NULL;--> statement-breakpoint
UPDATE `owner` SET `hidden` = `disabled`;--> statement-breakpoint
ALTER TABLE `package_file` ADD `published_by` text;--> statement-breakpoint
ALTER TABLE `audit_event` ADD `actor` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `audit_event` ADD `owner_id` integer;--> statement-breakpoint
ALTER TABLE `audit_event` ADD `target` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `audit_event` ADD `outcome` text DEFAULT 'done' NOT NULL;
