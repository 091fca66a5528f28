/** What PostgreSQL tells about itself, and that the list of tables is the one that the migrations make. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import {
  extension,
  missingTables,
  schemaTables,
  serverClock,
  serverFacts,
  storageSize
} from "../src/DatabaseReport.ts"
import { databaseOfItsOwn } from "./support/databaseOfItsOwn.ts"

layer(databaseOfItsOwn, { timeout: "60 seconds", excludeTestServices: true })("DatabaseReport", (it) => {
  it.effect("schemaTables are the tables that the migrations make", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const rows = yield* sql<{ name: string }>`
          SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename`
      assert.deepStrictEqual(
        rows.map(({ name }) => name),
        [...schemaTables]
      )
      assert.deepStrictEqual(yield* missingTables, [])
      yield* sql`ALTER TABLE federation_tasks RENAME TO elsewhere`
      assert.deepStrictEqual(yield* missingTables, ["federation_tasks"])
      yield* sql`ALTER TABLE elsewhere RENAME TO federation_tasks`
    })
  )

  it.effect("tells version, extension, clock and size", () =>
    Effect.gen(function* () {
      assert.match((yield* serverFacts).version, /^17\./)
      assert.deepStrictEqual(yield* extension("vector"), { installed: null, available: null })
      assert.isNotNull((yield* extension("plpgsql")).installed)
      assert.isAtMost(Math.abs((yield* serverClock) - Date.now()), 10_000)
      assert.deepInclude(yield* storageSize, { grants: 0, certificates: 0 })
      assert.isAbove((yield* storageSize).databaseBytes, 1_000_000)
    })
  )
})
