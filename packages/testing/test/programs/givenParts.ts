/** Uses the servers that the environment names as a test would, and prints what it found. */
import { Effect, Redacted } from "effect"
import { givenPostgres, givenValkey } from "../../src/internal/givenParts.ts"

const program = Effect.gen(function* () {
  const postgres = yield* givenPostgres
  const valkey = yield* givenValkey
  yield* postgres.exec("create table kept (value int); insert into kept values (7)")
  yield* valkey.command("set", "kept", "7")
  return {
    version: Number.parseInt(yield* postgres.exec("show server_version"), 10),
    distance: yield* postgres.exec("select '[1,2,3]'::vector <-> '[1,2,4]'"),
    kept: yield* valkey.command("get", "kept"),
    path: new URL(Redacted.value(valkey.url)).pathname
  }
})

process.stdout.write(JSON.stringify(await Effect.runPromise(Effect.scoped(program))))
