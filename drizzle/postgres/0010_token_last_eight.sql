-- number: 10, min_reader: 1
ALTER TABLE "access_token" ADD COLUMN "last_eight" text COLLATE "C" DEFAULT '' NOT NULL;
