-- number: 7, min_reader: 1
ALTER TABLE `owner` ADD `description` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `user` ADD `organization_id` integer REFERENCES owner(id) ON DELETE restrict;--> statement-breakpoint
CREATE INDEX `user_organization` ON `user` (`organization_id`);--> statement-breakpoint
CREATE TABLE `team` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`principal_id` integer NOT NULL,
	`organization_id` integer NOT NULL,
	`name` text NOT NULL,
	`name_folded` text NOT NULL,
	`role` text NOT NULL,
	`channels` text NOT NULL,
	`packages` text NOT NULL,
	`created` integer NOT NULL,
	FOREIGN KEY (`principal_id`) REFERENCES `principal`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`organization_id`) REFERENCES `owner`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `team_name` ON `team` (`organization_id`,`name_folded`);--> statement-breakpoint
CREATE UNIQUE INDEX `team_principal` ON `team` (`principal_id`);--> statement-breakpoint
CREATE TABLE `team_member` (
	`team_id` integer NOT NULL,
	`principal_id` integer NOT NULL,
	`created` integer NOT NULL,
	PRIMARY KEY(`team_id`, `principal_id`),
	FOREIGN KEY (`team_id`) REFERENCES `team`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`principal_id`) REFERENCES `principal`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `team_member_principal` ON `team_member` (`principal_id`);--> statement-breakpoint
CREATE TABLE `held_name` (
	`name` text PRIMARY KEY NOT NULL,
	`owner_id` integer NOT NULL,
	`freed` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `channel_offer` (
	`channel_id` integer PRIMARY KEY NOT NULL,
	`owner_id` integer NOT NULL,
	`offered_by` integer,
	`created` integer NOT NULL,
	FOREIGN KEY (`channel_id`) REFERENCES `channel`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`owner_id`) REFERENCES `owner`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`offered_by`) REFERENCES `principal`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `channel_offer_owner` ON `channel_offer` (`owner_id`);--> statement-breakpoint
CREATE TABLE `former_address` (
	`owner_id` integer NOT NULL,
	`type` text NOT NULL,
	`name` text NOT NULL,
	`channel_id` integer NOT NULL,
	`since` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `type`, `name`),
	FOREIGN KEY (`owner_id`) REFERENCES `owner`(`id`) ON UPDATE no action ON DELETE cascade,
	FOREIGN KEY (`channel_id`) REFERENCES `channel`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `former_address_channel` ON `former_address` (`channel_id`);
