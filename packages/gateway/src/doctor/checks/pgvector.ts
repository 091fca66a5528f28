/** The extension `vector` is in the database: embedded in PostgreSQL, no server of its own. */
import { extension } from "@mosaic-federation/issuance/DatabaseReport"
import { Effect } from "effect"
import { type Check, failed, failedBy, remedy } from "../Check.ts"
import { Subject } from "../Subject.ts"

const createCommand = `psql "$DATABASE_URL" -c 'CREATE EXTENSION vector'`

const lookCommand = `psql "$DATABASE_URL" -c '\\dx vector'`

export const pgvector: Check = {
  id: "pgvector",
  name: "pgvector",
  needs: ["postgres"],
  detail: () => "(embedded)",
  ifSilent: () => remedy("see whether the database answers", lookCommand),
  run: () =>
    Effect.gen(function* () {
      const { database } = yield* Subject
      const look = Effect.flatMap(database, (services) => Effect.provide(extension("vector"), services))
      const { available, installed } = yield* Effect.mapError(look, (error) => failedBy(error, lookCommand))
      if (installed !== null) return { evidence: { version: installed, available } }
      const evidence = { version: null, available }
      return yield* available === null
        ? failed({
            code: "PGVECTOR_NOT_INSTALLED",
            problem:
              "the server has no control file of the extension vector: pgvector is not installed beside it",
            remedy: remedy(
              "install it on the machine of the server, then create the extension",
              `apt-get install postgresql-17-pgvector && ${createCommand}`
            ),
            evidence
          })
        : failed({
            code: "PGVECTOR_NOT_CREATED",
            problem: `the server has pgvector ${available}, but this database has no extension vector`,
            remedy: remedy("create it, as the owner of the database or a superuser", createCommand),
            evidence
          })
    })
}
