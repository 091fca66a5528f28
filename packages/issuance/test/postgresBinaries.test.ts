import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { postgresBinaries } from "../src/internal/postgresBinaries.ts"

/** This process as it would be on another platform, for as long as the scope lasts. */
const onPlatform = (value: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const own = Object.getOwnPropertyDescriptor(process, "platform") ?? {}
      Object.defineProperty(process, "platform", { ...own, value })
      return own
    }),
    (own) => Effect.sync(() => Object.defineProperty(process, "platform", own))
  )

describe("postgresBinaries", () => {
  it.live("finds the programs of this platform", () =>
    Effect.gen(function* () {
      const { initdb, postgres } = yield* postgresBinaries
      assert.match(initdb, /\/bin\/initdb$/)
      assert.match(postgres, /\/bin\/postgres$/)
    })
  )

  for (const platform of ["win32", "sunos"]) {
    it.live(`says that there are none for ${platform}, and what to do without`, () =>
      Effect.gen(function* () {
        yield* onPlatform(platform)
        const error = yield* Effect.flip(postgresBinaries)
        assert.strictEqual(error.code, "EMBEDDED_POSTGRES_UNAVAILABLE")
        assert.strictEqual(error.message, `there is no embedded PostgreSQL for ${platform}-${process.arch}`)
        assert.strictEqual(
          error.remediation,
          "set DATABASE_URL to a PostgreSQL 17, run as an ordinary user, or set MOSAIC_HOME to a directory that such a user reaches"
        )
      })
    )
  }
})
