-- number: 6, min_reader: 1
CREATE TABLE `blob_deletion` (
	`sha256` text PRIMARY KEY NOT NULL,
	`at` integer NOT NULL
);
