-- number: 4, min_reader: 1
CREATE TABLE `stored_total` (
	`id` integer PRIMARY KEY NOT NULL,
	`files` integer NOT NULL,
	`blobs` integer NOT NULL,
	`bytes` integer NOT NULL
);
--> statement-breakpoint
INSERT INTO `stored_total` (`id`, `files`, `blobs`, `bytes`)
	SELECT 1, (SELECT count(*) FROM `package_file`), count(*), coalesce(sum(`size`), 0) FROM `package_blob`;--> statement-breakpoint
-- Triggers, so that every process counts: commands beside the server, and the release before after a rollback.
CREATE TRIGGER `total_file_added` AFTER INSERT ON `package_file` BEGIN
	UPDATE `stored_total` SET `files` = `files` + 1 WHERE `id` = 1;
END;
--> statement-breakpoint
CREATE TRIGGER `total_file_removed` AFTER DELETE ON `package_file` BEGIN
	UPDATE `stored_total` SET `files` = `files` - 1 WHERE `id` = 1;
END;
--> statement-breakpoint
CREATE TRIGGER `total_blob_added` AFTER INSERT ON `package_blob` BEGIN
	UPDATE `stored_total` SET `blobs` = `blobs` + 1, `bytes` = `bytes` + NEW.`size` WHERE `id` = 1;
END;
--> statement-breakpoint
CREATE TRIGGER `total_blob_removed` AFTER DELETE ON `package_blob` BEGIN
	UPDATE `stored_total` SET `blobs` = `blobs` - 1, `bytes` = `bytes` - OLD.`size` WHERE `id` = 1;
END;
--> statement-breakpoint
CREATE TRIGGER `total_blob_resized` AFTER UPDATE OF `size` ON `package_blob` BEGIN
	UPDATE `stored_total` SET `bytes` = `bytes` - OLD.`size` + NEW.`size` WHERE `id` = 1;
END;
