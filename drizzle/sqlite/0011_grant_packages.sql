-- number: 11, min_reader: 1
ALTER TABLE `grant` ADD `packages` text DEFAULT '["*"]' NOT NULL;
--> statement-breakpoint
-- An older release would ignore the limit and allow more. Triggers, so that restored rows count as well.
CREATE TRIGGER `grant_limited` AFTER INSERT ON `grant` WHEN NEW.`packages` <> '["*"]' BEGIN
	UPDATE `schema_migration` SET `min_reader` = 11 WHERE `number` = 11;
END;
--> statement-breakpoint
CREATE TRIGGER `grant_limited_later` AFTER UPDATE OF `packages` ON `grant` WHEN NEW.`packages` <> '["*"]' BEGIN
	UPDATE `schema_migration` SET `min_reader` = 11 WHERE `number` = 11;
END;
