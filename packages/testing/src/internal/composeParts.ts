/**
 * PostgreSQL and Valkey as services of docker-compose.federated.yml, in a project of the test's own: its ports, passwords
 * and volumes are its own as well, and go with it.
 */
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Redacted } from "effect"
import {
  type FederatedOptions,
  FederatedPartFailed,
  type FederatedPostgres,
  type FederatedValkey
} from "../FederatedServer.ts"
import { freePort } from "../freePort.ts"
import { runCommand } from "./runCommand.ts"

const root = fileURLToPath(new URL("../../../../", import.meta.url))

/** Images may have to be pulled first. */
const patienceMillis = 300_000

const host = "127.0.0.1"

/** One service, up, of a project that goes with the scope. */
const makeService = Effect.fnUntraced(function* (
  service: string,
  prefix: string,
  password: Redacted.Redacted = Redacted.make(randomBytes(18).toString("hex"))
) {
  const project = `mosaic-test-${randomBytes(6).toString("hex")}`
  const port = yield* freePort
  const env = {
    ...process.env,
    FEDERATED_HOST_ADDRESS: host,
    [`${prefix}_HOST_PORT`]: String(port),
    [`${prefix}_PASSWORD`]: Redacted.value(password)
  }
  const compose = Effect.fnUntraced(function* (...words: ReadonlyArray<string>) {
    const ended = yield* runCommand({
      file: "docker",
      args: [
        "compose",
        "--file",
        join(root, "docker-compose.federated.yml"),
        "--project-name",
        project,
        "--profile",
        "federated",
        ...words
      ],
      env,
      timeoutMillis: patienceMillis
    })
    if (ended.code === 0) return ended.stdout.trimEnd()
    return yield* new FederatedPartFailed({
      doing: `docker compose ${words.join(" ")}`,
      output: `${ended.stdout}${ended.stderr}`.trim()
    })
  })
  const perform = (...words: ReadonlyArray<string>) => Effect.asVoid(Effect.orDie(compose(...words)))
  const up = compose("up", "--detach", "--wait", service)
  yield* Effect.acquireRelease(up, () =>
    Effect.andThen(
      // An engine may not stop what is paused.
      Effect.ignore(compose("unpause", service)),
      Effect.ignore(compose("down", "--volumes", "--timeout", "0"))
    )
  )
  return {
    /** Within the container. */
    exec: (...words: ReadonlyArray<string>) => compose("exec", "-T", service, ...words),
    server: {
      host,
      port,
      password,
      start: Effect.asVoid(Effect.orDie(up)),
      stop: perform("stop", service),
      kill9: perform("kill", "--signal", "SIGKILL", service),
      freeze: perform("pause", service),
      thaw: perform("unpause", service)
    }
  }
})

export const composePostgres = Effect.fnUntraced(function* (options: FederatedOptions) {
  const { exec, server } = yield* makeService(
    "postgres-federated",
    "PG_FEDERATED",
    options.passwords?.postgres
  )
  // The image lets its own socket in without a password.
  const psql = (sql: string) => exec("psql", "-U", "mosaic", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql)
  if (options.withoutVector === true) yield* psql("drop extension vector")
  const { password, port } = server
  return {
    ...server,
    url: Redacted.make(`postgresql://mosaic:${Redacted.value(password)}@${host}:${port}/mosaic`),
    exec: (sql) => Effect.orDie(psql(sql))
  } satisfies FederatedPostgres
})

/** The container has its password as `VALKEY_PASSWORD`. */
const cli = 'export VALKEYCLI_AUTH="$VALKEY_PASSWORD" REDISCLI_AUTH="$VALKEY_PASSWORD"; valkey-cli "$@"'

export const composeValkey = Effect.fnUntraced(function* (options: FederatedOptions) {
  const { exec, server } = yield* makeService(
    "valkey-federated",
    "VALKEY_FEDERATED",
    options.passwords?.valkey
  )
  const { password, port } = server
  return {
    ...server,
    url: Redacted.make(`redis://:${Redacted.value(password)}@${host}:${port}`),
    command: (...words) => Effect.orDie(exec("sh", "-c", cli, "sh", ...words))
  } satisfies FederatedValkey
})
