-- number: 6, min_reader: 1
CREATE TABLE "blob_deletion" (
	"sha256" text COLLATE "C" PRIMARY KEY NOT NULL,
	"at" bigint NOT NULL
);
