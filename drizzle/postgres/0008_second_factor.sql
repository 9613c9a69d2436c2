-- number: 8, min_reader: 1
CREATE TABLE "second_factor" (
	"user_id" bigint PRIMARY KEY NOT NULL,
	"secret" text COLLATE "C" NOT NULL,
	"last_step" bigint NOT NULL,
	"created" bigint NOT NULL,
	"confirmed" bigint
);
--> statement-breakpoint
CREATE TABLE "recovery_code" (
	"user_id" bigint NOT NULL,
	"code_hash" text COLLATE "C" NOT NULL,
	CONSTRAINT "recovery_code_user_id_code_hash_pk" PRIMARY KEY("user_id","code_hash")
);
--> statement-breakpoint
ALTER TABLE "second_factor" ADD CONSTRAINT "second_factor_user_id_user_id_fk" FOREIGN KEY ("user_id") REFERENCES "user"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "recovery_code" ADD CONSTRAINT "recovery_code_user_id_user_id_fk" FOREIGN KEY ("user_id") REFERENCES "user"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
-- An older release would accept the password alone. A trigger, so that restored rows count as well.
CREATE FUNCTION "require_second_factor_reader"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE "schema_migration" SET "min_reader" = 8 WHERE "number" = 8;
	RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER "second_factor_confirmed" AFTER INSERT OR UPDATE OF "confirmed" ON "second_factor" FOR EACH ROW WHEN (NEW."confirmed" IS NOT NULL) EXECUTE FUNCTION "require_second_factor_reader"();
