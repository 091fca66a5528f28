/** Tasks worked off by real processes against a real step-ca, with what they stand on failing in the middle. */
import { assert, describe, layer } from "@effect/vitest"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { TaskRepo } from "@mosaic-federation/issuance/TaskRepo"
import { federated } from "@mosaic-federation/testing/federated"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { Duration, Effect, Layer } from "effect"
import { Redis } from "effect/persistence/Redis"
import { SqlClient } from "effect/sql/SqlClient"
import { TaskBell } from "../src/TaskBell.ts"
import { Valkey } from "../src/Valkey.ts"
import { grantWith, Home, layerRecords } from "./support/federatedRecords.ts"
import { type OwnValkey, ownValkey } from "./support/ownValkey.ts"
import { until } from "./support/until.ts"
import { workerProcess } from "./support/workerProcess.ts"

const TestLayer = Layer.mergeAll(layerRecords, StepCaProcess.layer())

const options = { patience: Duration.seconds(3), heartbeat: Duration.millis(100) }

interface TaskRow {
  readonly state: string
  readonly attempts: number
  readonly last_error_code: string | null
  readonly locked: boolean
  readonly revoked_at_ca: Date | null
}

const tasksOf = (serials: ReadonlyArray<string>) =>
  SqlClient.use(
    (sql) => sql<TaskRow>`
      SELECT t.state, t.attempts, t.last_error_code, t.locked_by IS NOT NULL AS locked, c.revoked_at_ca
      FROM federation_tasks t JOIN federation_certificates c ON c.serial = t.subject
      WHERE t.subject = ANY (${serials})`
  )

const allDone = (serials: ReadonlyArray<string>) =>
  Effect.map(
    tasksOf(serials),
    (rows) =>
      rows.length === serials.length &&
      rows.every((row) => row.state === "done" && row.revoked_at_ca !== null)
  )

/** How often the CA has said that it revoked this serial; each first time is logged with 200. */
const acceptedAtCa = (serials: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const ca = yield* StepCaProcess
    const lines = (yield* ca.log).split("\n").filter((line) => line.includes("/1.0/revoke"))
    return serials.map(
      (serial) => lines.filter((line) => line.includes(serial) && /\bstatus=200\b/.test(line)).length
    )
  })

const revoke = Effect.fnUntraced(function* (certificates: number) {
  const { grant, serials } = yield* grantWith(certificates)
  const { caRevocations } = yield* GrantRepo.use((grants) => grants.revoke(grant.id, "over"))
  assert.strictEqual(caRevocations.length, certificates)
  return { serials, caRevocations }
})

const start = Effect.fnUntraced(function* (more: Readonly<Record<string, string>> = {}) {
  const { environment } = yield* Home
  const ca = yield* StepCaProcess
  return yield* workerProcess({ ...ca.environment, ...environment, ...more })
})

const ringOver = (server: OwnValkey) =>
  Layer.build(TaskBell.layerValkey.pipe(Layer.provideMerge(Valkey.layer(server.address, options))))

const freezeCa = (signal: "SIGSTOP" | "SIGCONT") =>
  StepCaProcess.use((ca) =>
    Effect.sync(() => {
      const pid = ca.pid()
      if (pid !== undefined) process.kill(pid, signal)
    })
  )

const soon = { TEST_LOOK_EVERY: "100" }

describe("TaskWorker", () => {
  layer(TestLayer, { timeout: "300 seconds", excludeTestServices: true })((it) => {
    it.effect("local: a worker finds what is due and revokes it at the CA", () =>
      Effect.gen(function* () {
        const { serials } = yield* revoke(3)
        yield* start(soon)
        yield* until(allDone(serials))
        assert.deepStrictEqual(yield* acceptedAtCa(serials), [1, 1, 1])
      }).pipe(Effect.scoped)
    )

    it.effect("killed with SIGKILL in mid-task: another worker does it, once in effect", () =>
      Effect.gen(function* () {
        const worker = yield* start(soon)
        yield* freezeCa("SIGSTOP")
        const { serials } = yield* revoke(2)
        yield* until(Effect.map(tasksOf(serials), (rows) => rows.every(({ locked }) => locked)))
        yield* worker.end("SIGKILL")
        assert.isTrue((yield* tasksOf(serials)).every(({ locked, state }) => locked && state === "open"))
        yield* start(soon)
        // The CA now also answers what the dead worker had asked.
        yield* freezeCa("SIGCONT")
        yield* until(allDone(serials))
        for (const { attempts } of yield* tasksOf(serials)) assert.isAtLeast(attempts, 2)
        assert.deepStrictEqual(yield* acceptedAtCa(serials), [1, 1])
      }).pipe(Effect.scoped)
    )

    it.effect("a worker that is told to end gives back what it has not done", () =>
      Effect.gen(function* () {
        const worker = yield* start({ ...soon, TEST_LEASE: "600000" })
        yield* freezeCa("SIGSTOP")
        const { serials } = yield* revoke(1)
        yield* until(Effect.map(tasksOf(serials), ([row]) => row?.locked === true))
        yield* worker.end("SIGTERM")
        assert.deepStrictEqual(yield* tasksOf(serials), [
          { state: "open", attempts: 0, last_error_code: null, locked: false, revoked_at_ca: null }
        ])
        yield* freezeCa("SIGCONT")
        yield* start(soon)
        yield* until(allDone(serials))
      }).pipe(Effect.scoped)
    )
  })
})

federated("TaskWorker with Valkey", () => {
  layer(TestLayer, { timeout: "300 seconds", excludeTestServices: true })((it) => {
    it.effect(
      "many tasks, three workers, one killed after the other: none is lost, none has two effects",
      () =>
        Effect.gen(function* () {
          const server = yield* ownValkey
          const { caRevocations, serials } = yield* revoke(150)
          const more = { ...soon, REDIS_URL: server.urlText }
          const first = yield* start(more)
          const second = yield* start(more)
          const bell = yield* ringOver(server)
          yield* Effect.forEach(caRevocations, (id) =>
            Effect.provide(
              TaskBell.use(({ ring }) => ring(id, Duration.zero)),
              bell
            )
          )
          for (const [worker, share] of [
            [first, 30],
            [second, 80]
          ] as const) {
            yield* until(
              Effect.map(
                tasksOf(serials),
                (rows) => rows.filter(({ state }) => state === "done").length >= share
              )
            )
            yield* worker.end("SIGKILL")
            yield* start(more)
          }
          yield* until(allDone(serials))
          assert.deepStrictEqual(
            yield* acceptedAtCa(serials),
            serials.map(() => 1)
          )
        }).pipe(Effect.scoped)
    )

    it.effect("Valkey brings a task to a worker that does not look", () =>
      Effect.gen(function* () {
        const server = yield* ownValkey
        yield* start({ REDIS_URL: server.urlText })
        const bell = yield* ringOver(server)
        const { caRevocations, serials } = yield* revoke(5)
        yield* Effect.forEach(caRevocations, (id) =>
          Effect.provide(
            TaskBell.use(({ ring }) => ring(id, Duration.zero)),
            bell
          )
        )
        yield* until(allDone(serials))
      }).pipe(Effect.scoped)
    )

    it.effect("the CA is away: tasks stay open with its error, and are done when it is back", () =>
      Effect.gen(function* () {
        const server = yield* ownValkey
        const ca = yield* StepCaProcess
        yield* ca.stop
        const { serials } = yield* revoke(2)
        yield* start({ ...soon, REDIS_URL: server.urlText })
        yield* until(
          Effect.map(tasksOf(serials), (rows) =>
            rows.every(({ last_error_code }) => last_error_code !== null)
          )
        )
        assert.deepStrictEqual(
          (yield* tasksOf(serials)).map((row) => [row.state, row.last_error_code, row.revoked_at_ca]),
          serials.map(() => ["open", "CA_CONNECTION_REFUSED", null])
        )
        assert.isAtLeast((yield* TaskRepo.use(({ depth }) => depth)).failing, 2)
        yield* ca.start
        yield* until(allDone(serials))
      }).pipe(Effect.scoped)
    )

    for (const [begin, end, name] of [
      ["stop", "start", "stopped"],
      ["kill9", "start", "killed -9"],
      ["freeze", "thaw", "frozen"]
    ] as const) {
      it.effect(`Valkey ${name} in the middle: slower, nothing lost, and it is told`, () =>
        Effect.gen(function* () {
          const server = yield* ownValkey
          const worker = yield* start({ TEST_LOOK_EVERY: "300", REDIS_URL: server.urlText })
          const bell = yield* ringOver(server)
          const ring = (ids: Effect.Success<ReturnType<typeof revoke>>["caRevocations"]) =>
            Effect.forEach(ids, (id) =>
              Effect.provide(
                TaskBell.use(({ ring }) => ring(id, Duration.zero)),
                bell
              )
            )
          const before = yield* revoke(40)
          yield* ring(before.caRevocations)
          yield* server[begin]
          const during = yield* revoke(10)
          yield* ring(during.caRevocations)
          yield* until(allDone([...before.serials, ...during.serials]))
          yield* until(Effect.sync(() => worker.lines.some((line) => line.includes("Valkey is away"))))
          yield* server[end]
          yield* until(Effect.sync(() => worker.lines.some((line) => line.includes("Valkey is back"))))
          const after = yield* revoke(10)
          yield* ring(after.caRevocations)
          yield* until(allDone(after.serials))
          const all = [...before.serials, ...during.serials, ...after.serials]
          assert.deepStrictEqual(
            yield* acceptedAtCa(all),
            all.map(() => 1)
          )
          // By the outage, and not by the task.
          assert.isBelow(worker.lines.length, 20, worker.lines.join("\n"))
        }).pipe(Effect.scoped)
      )
    }

    it.effect("Valkey comes back: a worker that does not look hears of tasks again", () =>
      Effect.gen(function* () {
        const server = yield* ownValkey
        const worker = yield* start({ REDIS_URL: server.urlText })
        const bell = yield* ringOver(server)
        for (const [begin, end] of [
          ["kill9", "start"],
          ["freeze", "thaw"]
        ] as const) {
          const backs = () => worker.lines.filter((line) => line.includes("Valkey is back")).length
          const before = backs()
          yield* server[begin]
          yield* until(
            Effect.sync(() => worker.lines.filter((line) => line.includes("away")).length > before)
          )
          yield* server[end]
          yield* until(Effect.sync(() => backs() > before))
          yield* until(
            Effect.provide(
              Redis.use((redis) => Effect.isSuccess(redis.send("PING"))),
              bell
            )
          )
          const { caRevocations, serials } = yield* revoke(3)
          yield* Effect.forEach(caRevocations, (id) =>
            Effect.provide(
              TaskBell.use(({ ring }) => ring(id, Duration.zero)),
              bell
            )
          )
          yield* until(allDone(serials))
        }
      }).pipe(Effect.scoped)
    )
  })
})
