-- number: 2, min_reader: 1
ALTER TABLE `package_blob` ADD `unreferenced_at` integer;--> statement-breakpoint
CREATE TABLE `lease` (
	`name` text NOT NULL,
	`holder` text NOT NULL,
	`until` integer NOT NULL,
	PRIMARY KEY(`name`, `holder`)
);
