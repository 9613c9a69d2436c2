-- number: 8, min_reader: 1
CREATE TABLE `second_factor` (
	`user_id` integer PRIMARY KEY NOT NULL,
	`secret` text NOT NULL,
	`last_step` integer NOT NULL,
	`created` integer NOT NULL,
	`confirmed` integer,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `recovery_code` (
	`user_id` integer NOT NULL,
	`code_hash` text NOT NULL,
	PRIMARY KEY(`user_id`, `code_hash`),
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
-- An older release would accept the password alone. Triggers, so that restored rows count as well.
CREATE TRIGGER `second_factor_added` AFTER INSERT ON `second_factor` WHEN NEW.`confirmed` IS NOT NULL BEGIN
	UPDATE `schema_migration` SET `min_reader` = 8 WHERE `number` = 8;
END;
--> statement-breakpoint
CREATE TRIGGER `second_factor_confirmed` AFTER UPDATE OF `confirmed` ON `second_factor` WHEN NEW.`confirmed` IS NOT NULL BEGIN
	UPDATE `schema_migration` SET `min_reader` = 8 WHERE `number` = 8;
END;
