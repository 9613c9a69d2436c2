-- number: 9, min_reader: 1
ALTER TABLE "audit_event" ADD "times" bigint DEFAULT 1 NOT NULL;
--> statement-breakpoint
ALTER TABLE "audit_event" ADD "refusal" text COLLATE "C";
--> statement-breakpoint
CREATE INDEX "audit_event_owner" ON "audit_event" USING btree ("owner_id","id");
--> statement-breakpoint
CREATE UNIQUE INDEX "audit_event_refusal" ON "audit_event" USING btree ("refusal") WHERE "refusal" IS NOT NULL;
--> statement-breakpoint
ALTER TABLE "package_file" ADD "quarantine" text COLLATE "C";
