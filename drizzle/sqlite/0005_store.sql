-- number: 5, min_reader: 1
CREATE TABLE `store` (
	`id` text PRIMARY KEY NOT NULL
);
