// Loaded before the tests: the tables are chosen when they are imported, so the engine must be known before that.

if (process.env["CONDARIUM_TEST_ENGINES"]?.startsWith("postgres")) {
  process.env["CONDARIUM_DATABASE"] = "postgres://each.test/has-its-own";
}
