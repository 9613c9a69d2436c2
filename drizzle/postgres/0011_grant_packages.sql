-- number: 11, min_reader: 1
ALTER TABLE "grant" ADD COLUMN "packages" text COLLATE "C" DEFAULT '["*"]' NOT NULL;
--> statement-breakpoint
-- An older release would ignore the limit and allow more. A trigger, so that restored rows count as well.
CREATE FUNCTION "require_limited_grant_reader"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE "schema_migration" SET "min_reader" = 11 WHERE "number" = 11;
	RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER "grant_limited" AFTER INSERT OR UPDATE OF "packages" ON "grant" FOR EACH ROW WHEN (NEW."packages" <> '["*"]') EXECUTE FUNCTION "require_limited_grant_reader"();
