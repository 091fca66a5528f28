import { InputUnreadable } from "@mosaic-federation/domain/CommandErrors"
import { Effect, Option, Redacted } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { optional } from "../../flags.ts"
import { inputName, readInput } from "../../InputFile.ts"
import { migrationName } from "../../migrationName.ts"
import { print } from "../../Output.ts"

import { useDatabase } from "../../Services.ts"

const flags = {
  appPasswordFile: Flag.String("app-password-file").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription(
      "Let the role mosaic_app log in, with the password in this file: the server's login in the federated tier"
    ),
    optional
  )
}

/** Of visible ASCII alone, which SASLprep (RFC 4013) leaves as it is. */
const readPassword = Effect.fnUntraced(function* (path: string) {
  const text = new TextDecoder().decode(yield* readInput(path)).replace(/\r?\n$/, "")
  if (/^[\x21-\x7e]{16,256}$/.test(text)) return Redacted.make(text)
  const reason = "expected a password of 16 to 256 visible ASCII characters on one line"
  return yield* new InputUnreadable({ path: inputName(path), reason })
})

const roleLines = (ready: boolean, password: boolean): ReadonlyArray<string> => {
  if (!ready) {
    return ["The role mosaic_app is not made: this login may not create roles (docs/federation/audit.md)"]
  }
  return password ? ["The role mosaic_app may log in, with its new password"] : []
}

export const migrate = Command.make(
  "migrate",
  flags,
  Effect.fn("db migrate")(function* ({ appPasswordFile }) {
    const [{ latestMigration, migrate }, { ensureAppRole, setAppPassword }] = yield* Effect.promise(() =>
      Promise.all([
        import("@mosaic-federation/issuance/Migrations"),
        import("@mosaic-federation/issuance/AppRole")
      ])
    )
    const password = Option.isSome(appPasswordFile) ? yield* readPassword(appPasswordFile.value) : undefined
    const work = Effect.gen(function* () {
      const applied = yield* migrate()
      const ready = yield* ensureAppRole()
      if (password !== undefined) yield* setAppPassword(password)
      return { applied, ready }
    })
    const { applied, ready } = yield* useDatabase(work)
    yield* print({
      document: { schema: latestMigration, applied, appRole: ready },
      lines: [
        ...applied.map((migration) => `applied ${migrationName(migration)}`),
        applied.length === 0
          ? `The schema is up to date, at migration ${latestMigration}: nothing was to be done`
          : `The schema is at migration ${latestMigration}`,
        ...roleLines(ready, password !== undefined)
      ]
    })
  })
).pipe(
  Command.withDescription(
    "Bring the schema to this version, forward only. Any number may run at once: one migrates, the others wait and find nothing to do"
  ),
  Command.withExamples([
    { command: "mosaic db migrate", description: "The database that mosaic config show names" },
    {
      command: "mosaic db migrate --app-password-file app-password",
      description: "As the owner (MOSAIC_DATABASE_OWNER_URL): makes the login of the federated tier's servers"
    },
    { command: "mosaic db migrate --json", description: "What was applied, for a program" }
  ])
)
