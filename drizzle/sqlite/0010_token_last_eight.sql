-- number: 10, min_reader: 1
ALTER TABLE `access_token` ADD `last_eight` text DEFAULT '' NOT NULL;
