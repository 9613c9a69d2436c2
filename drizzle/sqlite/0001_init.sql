-- number: 1, min_reader: 1
CREATE TABLE `access_token` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`user_id` integer NOT NULL,
	`name` text NOT NULL,
	`token_hash` text NOT NULL,
	`scopes` text NOT NULL,
	`channels` text NOT NULL,
	`packages` text NOT NULL,
	`credential_version` integer NOT NULL,
	`created` integer NOT NULL,
	`expires` integer,
	`last_used` integer,
	`revoked` integer,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `access_token_hash` ON `access_token` (`token_hash`);--> statement-breakpoint
CREATE INDEX `access_token_name` ON `access_token` (`user_id`,`name`);--> statement-breakpoint
CREATE TABLE `audit_event` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`actor_id` integer,
	`token_id` integer,
	`action` text NOT NULL,
	`channel_id` integer,
	`subject` text NOT NULL,
	`detail` text DEFAULT '{}' NOT NULL,
	`request_id` text,
	`address` text
);
--> statement-breakpoint
CREATE INDEX `audit_event_channel` ON `audit_event` (`channel_id`,`id`);--> statement-breakpoint
CREATE TABLE `channel` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`owner_id` integer NOT NULL,
	`type` text NOT NULL,
	`name` text NOT NULL,
	`visibility` text,
	`revision` integer DEFAULT 0 NOT NULL,
	`policy` text DEFAULT '{}' NOT NULL,
	`description` text DEFAULT '' NOT NULL,
	`created` integer NOT NULL,
	FOREIGN KEY (`owner_id`) REFERENCES `owner`(`id`) ON UPDATE no action ON DELETE restrict
);
--> statement-breakpoint
CREATE UNIQUE INDEX `channel_name` ON `channel` (`owner_id`,`type`,`name`);--> statement-breakpoint
CREATE TABLE `channel_revision` (
	`channel_id` integer NOT NULL,
	`revision` integer NOT NULL,
	`identity` text NOT NULL,
	`at` integer NOT NULL,
	`actor_id` integer,
	PRIMARY KEY(`channel_id`, `revision`),
	FOREIGN KEY (`channel_id`) REFERENCES `channel`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `file_name_history` (
	`channel_id` integer NOT NULL,
	`section` text NOT NULL,
	`file_name_folded` text NOT NULL,
	`sha256` text NOT NULL,
	`first_seen` integer NOT NULL,
	`deleted_at` integer,
	PRIMARY KEY(`channel_id`, `section`, `file_name_folded`, `sha256`)
);
--> statement-breakpoint
CREATE TABLE `index_part` (
	`channel_id` integer NOT NULL,
	`section` text NOT NULL,
	`name` text NOT NULL,
	`revision` integer NOT NULL,
	PRIMARY KEY(`channel_id`, `section`, `name`)
);
--> statement-breakpoint
CREATE INDEX `index_part_revision` ON `index_part` (`channel_id`,`section`,`revision`);--> statement-breakpoint
CREATE TABLE `login_failure` (
	`bucket` text PRIMARY KEY NOT NULL,
	`window_start` integer NOT NULL,
	`failures` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `login_failure_window` ON `login_failure` (`window_start`);--> statement-breakpoint
CREATE TABLE `owner` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`kind` text NOT NULL,
	`name` text NOT NULL,
	`display_name` text DEFAULT '' NOT NULL,
	`visibility` text NOT NULL,
	`disabled` integer DEFAULT false NOT NULL,
	`created` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `owner_name` ON `owner` (`name`);--> statement-breakpoint
CREATE TABLE `package_blob` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`sha256` text NOT NULL,
	`md5` text NOT NULL,
	`size` integer NOT NULL,
	`created` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `package_blob_sha256` ON `package_blob` (`sha256`);--> statement-breakpoint
CREATE TABLE `package_file` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`version_id` integer NOT NULL,
	`channel_id` integer NOT NULL,
	`blob_id` integer NOT NULL,
	`section` text NOT NULL,
	`file_name` text NOT NULL,
	`file_name_folded` text NOT NULL,
	`package_name` text NOT NULL,
	`state` text DEFAULT 'active' NOT NULL,
	`record` text NOT NULL,
	`metadata` text NOT NULL,
	`publisher_id` integer,
	`published_at` integer NOT NULL,
	FOREIGN KEY (`version_id`) REFERENCES `package_version`(`id`) ON UPDATE no action ON DELETE restrict,
	FOREIGN KEY (`channel_id`) REFERENCES `channel`(`id`) ON UPDATE no action ON DELETE restrict,
	FOREIGN KEY (`blob_id`) REFERENCES `package_blob`(`id`) ON UPDATE no action ON DELETE restrict
);
--> statement-breakpoint
CREATE UNIQUE INDEX `package_file_name` ON `package_file` (`channel_id`,`section`,`file_name_folded`);--> statement-breakpoint
CREATE INDEX `package_file_order` ON `package_file` (`channel_id`,`section`,`package_name`,`file_name`);--> statement-breakpoint
CREATE INDEX `package_file_state` ON `package_file` (`channel_id`,`section`,`state`);--> statement-breakpoint
CREATE INDEX `package_file_published` ON `package_file` (`channel_id`,`published_at`);--> statement-breakpoint
CREATE INDEX `package_file_version` ON `package_file` (`version_id`);--> statement-breakpoint
CREATE INDEX `package_file_blob` ON `package_file` (`blob_id`);--> statement-breakpoint
CREATE TABLE `package_property` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`ref_type` text NOT NULL,
	`ref_id` integer NOT NULL,
	`name` text NOT NULL,
	`value` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `package_property_value` ON `package_property` (`name`,`value`);--> statement-breakpoint
CREATE INDEX `package_property_ref` ON `package_property` (`ref_type`,`ref_id`);--> statement-breakpoint
CREATE TABLE `package_version` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`package_id` integer NOT NULL,
	`version` text NOT NULL,
	`created` integer NOT NULL,
	FOREIGN KEY (`package_id`) REFERENCES `package`(`id`) ON UPDATE no action ON DELETE restrict
);
--> statement-breakpoint
CREATE UNIQUE INDEX `package_version_version` ON `package_version` (`package_id`,`version`);--> statement-breakpoint
CREATE TABLE `package` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`channel_id` integer NOT NULL,
	`name` text NOT NULL,
	`name_folded` text NOT NULL,
	`created` integer NOT NULL,
	FOREIGN KEY (`channel_id`) REFERENCES `channel`(`id`) ON UPDATE no action ON DELETE restrict
);
--> statement-breakpoint
CREATE UNIQUE INDEX `package_name` ON `package` (`channel_id`,`name_folded`);--> statement-breakpoint
CREATE TABLE `grant` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`user_id` integer NOT NULL,
	`owner_id` integer,
	`channel_id` integer,
	`role` text NOT NULL,
	`created` integer NOT NULL,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`owner_id`) REFERENCES `owner`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`channel_id`) REFERENCES `channel`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `grant_owner` ON `grant` (`user_id`,`owner_id`);--> statement-breakpoint
CREATE UNIQUE INDEX `grant_channel` ON `grant` (`user_id`,`channel_id`);--> statement-breakpoint
CREATE TABLE `user` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`owner_id` integer NOT NULL,
	`email` text DEFAULT '' NOT NULL,
	`password_hash` text NOT NULL,
	`credential_version` integer DEFAULT 1 NOT NULL,
	`is_admin` integer DEFAULT false NOT NULL,
	`must_change_password` integer DEFAULT false NOT NULL,
	FOREIGN KEY (`owner_id`) REFERENCES `owner`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `user_owner` ON `user` (`owner_id`);