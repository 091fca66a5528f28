/**
 * A process that uses the records as a command or a server does. It prints one JSON line for each thing that happened
 * and reads one word per line: `find` runs a query, `end` (or the end of stdin) closes its scope.
 */
import { createInterface } from "node:readline"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { isMosaicError } from "@mosaic-federation/domain/MosaicError"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { DateTime, Effect, Queue, Schedule } from "effect"

const say = (event: object) => Effect.sync(() => process.stdout.write(`${JSON.stringify(event)}\n`))

const grant = () =>
  new NewGrant({
    subjectUserId: UserId.make("3b241101-e2bb-4255-8caf-4136c566a962"),
    peer: PeerName.make("peer.example"),
    scopes: ["read"],
    expiresAt: DateTime.makeUnsafe(Date.now() + 3_600_000)
  })

/** Until the database answers: a server's callers try again as well. */
const find = Effect.gen(function* () {
  const grants = yield* GrantRepo
  return yield* grants
    .list({})
    .pipe(Effect.retry({ while: (error) => error.retryable, schedule: Schedule.spaced("10 millis") }))
})

const words = Effect.gen(function* () {
  const queue = yield* Queue.unbounded<string>()
  const lines = createInterface({ input: process.stdin })
  lines.on("line", (line) => Queue.offerUnsafe(queue, line))
  lines.on("close", () => Queue.offerUnsafe(queue, "end"))
  yield* Effect.addFinalizer(() => Effect.sync(() => lines.close()))
  return queue
})

const program = Effect.gen(function* () {
  const grants = yield* GrantRepo
  const { id } = yield* grants.create(grant())
  yield* say({ up: id })
  if (process.argv[2] === "command") return
  const queue = yield* words
  while ((yield* Queue.take(queue)) === "find") {
    const found = yield* find
    yield* say({ found: found.length })
  }
})

program.pipe(
  Effect.scoped,
  Effect.provide(GrantRepo.layer),
  Effect.tapError((error) =>
    isMosaicError(error)
      ? say({ code: error.code, message: error.message, remediation: error.remediation })
      : say({ unexpected: String(error) })
  ),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
