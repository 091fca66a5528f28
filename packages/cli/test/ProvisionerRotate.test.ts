/** `mosaic federation provisioner rotate` against a real step-ca and a gateway that goes on issuing all the while. */
import { execFile, spawnSync } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync
} from "node:fs"
import { createServer } from "node:net"
import { delimiter, join } from "node:path"
import { text } from "node:stream/consumers"
import { setTimeout as delay } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, it, layer } from "@effect/vitest"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess, type StepCaShape } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { DateTime, Effect, Fiber } from "effect"
import { clientOf, makeKey, startGateway } from "./support/gatewayProcess.ts"
import {
  createGrant,
  documentOf,
  type ErrorDocument,
  finish,
  launcher,
  mosaic,
  type Ran,
  start,
  type Station,
  station
} from "./support/mosaic.ts"

const run = promisify(execFile)

const initScript = fileURLToPath(new URL("../../../infra/step-ca/init.sh", import.meta.url))

const cliPage = new URL("../../../docs/cli.md", import.meta.url)

interface RotationDocument {
  readonly provisioner: string
  readonly oldKid: string
  readonly newKid: string | null
  readonly keyFiles: ReadonlyArray<string>
  readonly phase: string | null
  readonly done: ReadonlyArray<{ readonly phase: string; readonly at: string }>
  readonly pending: ReadonlyArray<string>
}

interface CaJson {
  readonly authority: {
    readonly provisioners: ReadonlyArray<{
      readonly name: string
      readonly key: { readonly kid: string }
      readonly claims: unknown
      readonly options: unknown
    }>
  }
}

const caJson = (ca: StepCaShape) =>
  JSON.parse(readFileSync(join(ca.stepPath, "config/ca.json"), "utf8")) as CaJson

const kidsIn = (ca: StepCaShape) =>
  Object.fromEntries(caJson(ca).authority.provisioners.map(({ key, name }) => [name, key.kid]))

const rotateArgs = ["federation", "provisioner", "rotate", "--json"]

const phasesSeen = (directory: string): ReadonlyArray<string> => {
  const path = join(directory, "state.json")
  if (!existsSync(path)) return []
  const { done } = JSON.parse(readFileSync(path, "utf8")) as { readonly done: RotationDocument["done"] }
  return done.map(({ phase }) => phase)
}

/** A boot of the CA's set-up as it stands, in the middle of whatever is going on. */
const boot = Effect.fnUntraced(function* (ca: StepCaShape) {
  const { jq, step, stepCa } = yield* stepTools()
  const env = {
    PATH: process.env["PATH"] ?? "",
    STEPPATH: ca.stepPath,
    STEP_CA_BIN: stepCa.path,
    STEP_BIN: step.path,
    JQ_BIN: jq.path
  }
  // Not spawnSync: the loop of issuances goes on meanwhile, and no connection of its waits until the server ends it.
  const { stderr, stdout } = yield* Effect.promise(() => run("sh", [initScript, "init"], { env }))
  assert.notInclude(stdout, "repaired")
  assert.notInclude(stderr, "further provisioner")
})

/** A gateway at a CA of its own, whose loop of issuances never ends and must never fail. */
const issuing = Effect.gen(function* () {
  const ca = yield* StepCaProcess.make()
  const where = yield* station({
    ...ca.environment,
    STEPPATH: ca.stepPath,
    MOSAIC_RATE_PER_GRANT: "100000/1m",
    MOSAIC_RATE_PER_KEY: "100000/1m",
    MOSAIC_RATE_PER_ADDRESS: "100000/1m"
  })
  const { key } = yield* makeKey(where, "issue")
  const gateway = yield* startGateway(where)
  const operator = yield* clientOf(gateway.url, { rootPath: ca.rootPath, bearer: key })
  const id = yield* createGrant(where, "--scope", "a")
  const { grants } = documentOf<{ readonly grants: ReadonlyArray<{ readonly id: string }> }>(
    (yield* mosaic(where, ["federation", "grant", "list", "--json"])).stdout
  )
  assert.strictEqual(grants[0]?.id, id)
  const serials = new Set<string>()
  const issue = Effect.gen(function* () {
    const csr = yield* makeCsr("P-256")
    const [grant] = (yield* operator.grants.list({ query: {} })).grants
    assert(grant !== undefined)
    const issued = yield* operator.certificates.issue({
      params: { id: grant.id },
      headers: {},
      payload: { csr: csr.pem }
    })
    serials.add(issued.serial)
  })
  const loop = yield* Effect.forkScoped(Effect.forever(issue))
  /** Until two more that began after now have ended: none that began before is under way. */
  const twoMore = Effect.promise(async () => {
    const from = serials.size
    while (serials.size < from + 2 && loop.pollUnsafe() === undefined) await delay(10)
  })
  yield* twoMore
  return { ca, where, gateway, loop, serials, twoMore }
})

/** What the reload commands of a rotation ask of this test: `before` may end the rotation in the middle. */
const reloads = Effect.fnUntraced(function* (
  { ca, gateway, twoMore, where }: Effect.Success<typeof issuing>,
  before: (who: string) => boolean
) {
  const socket = join(where.environment["HOME"] ?? "", "reload.sock")
  const reloaded = () => gateway.log().filter(({ message }) => message === "reloaded").length
  const act = async (who: string) => {
    if (!before(who)) return
    if (who === "ca") return void process.kill(ca.pid() ?? assert.fail("no CA"), "SIGHUP")
    const from = reloaded()
    process.kill(gateway.pid, "SIGHUP")
    while (reloaded() === from) await delay(10)
    await Effect.runPromise(twoMore)
  }
  yield* Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer({ allowHalfOpen: true }, (client) => {
            client.on("error", () => undefined)
            void text(client)
              .then(act)
              .finally(() => client.end())
          })
          server.listen(socket, () => resolve(server))
        })
    ),
    (server) => Effect.sync(() => server.close())
  )
  const script = join(where.environment["HOME"] ?? "", "reload.cjs")
  writeFileSync(
    script,
    `require("node:net").connect(${JSON.stringify(socket)}).on("data", () => undefined).end(process.argv[2])\n`
  )
  const command = (who: string) => `'${process.execPath}' '${script}' ${who}`
  return ["--reload-ca", command("ca"), "--reload-gateway", command("gateway"), "--drain", "now"]
})

/** Nothing of the old key is left to use: the CA does not know it any more. */
const assertRefused = Effect.fnUntraced(function* (where: Station, oldKey: string) {
  const grant = yield* createGrant(where, "--scope", "b")
  const ran = yield* mosaic(
    where,
    ["federation", "cert", "issue", "--grant", grant, "--key-out", "k", "--cert-out", "c", "--json"],
    { STEP_CA_PROVISIONER_KEY_JSON_FILE: oldKey }
  )
  assert.strictEqual(ran.code, 4, ran.stdout)
  assert.strictEqual(documentOf<ErrorDocument>(ran.stdout).error.code, "CA_KEY_UNKNOWN")
})

const assertSettled = (ca: StepCaShape, before: CaJson, ran: Ran, oldKid: string) => {
  assert.strictEqual(ran.code, 0, ran.stdout + ran.stderr)
  const document = documentOf<RotationDocument>(ran.stdout)
  assert.deepInclude(document, { provisioner: "mosaic-fed", oldKid, phase: "settled", pending: [] })
  const [, shown = ""] =
    /^```json provisioner rotate\n([^]*?)^```$/m.exec(readFileSync(cliPage, "utf8")) ?? []
  assert.deepStrictEqual(Object.keys(document), Object.keys(JSON.parse(shown) as object))
  const newKid = document.newKid ?? assert.fail("no new key")
  // All but the one key is as it was.
  const expected = before.authority.provisioners.map((one) =>
    one.name === "mosaic-fed" ? { ...one, key: { ...one.key, kid: newKid } } : one
  )
  const withoutKeys = ({ authority }: CaJson) =>
    authority.provisioners.map(({ claims, name, options }) => ({ name, claims, options }))
  assert.deepStrictEqual(withoutKeys(caJson(ca)), withoutKeys(before))
  assert.deepStrictEqual(kidsIn(ca), Object.fromEntries(expected.map(({ key, name }) => [name, key.kid])))
  assert.strictEqual(statSync(ca.provisioner.keyPath).mode & 0o777, 0o600)
  assert.deepStrictEqual(readdirSync(join(ca.stepPath, "rotation")), ["state.json"])
  return newKid
}

it.live(
  "rotates twice, killed at every step, and no issuance fails meanwhile",
  () =>
    Effect.gen(function* () {
      const station = yield* issuing
      const { ca, loop, serials, where } = station
      const before = caJson(ca)
      const rotation = join(ca.stepPath, "rotation")
      const old = kidsIn(ca)["mosaic-fed"] ?? assert.fail("no key")
      const oldKey = join(where.directory, "old.jwe")
      copyFileSync(ca.provisioner.keyPath, oldKey)

      // Killed by each of its five reloads, before anything is reloaded: what it wrote is there and not in use.
      let child: ReturnType<typeof start> | undefined
      let reload = 0
      const killed: Array<string> = []
      const everyReload = 5
      const args = yield* reloads(station, (who) => {
        reload += 1
        // Each of the five comes twice: the first time it costs the rotation its life.
        if (reload % 2 === 0 || killed.length === everyReload) return true
        killed.push(`${who} after ${phasesSeen(rotation).at(-1) ?? "nothing"}`)
        child?.kill("SIGKILL")
        return false
      })
      const rotate = Effect.promise(() => {
        child = start(where, [...rotateArgs, ...args])
        return finish(child)
      })
      let ran = yield* rotate
      for (let attempt = 0; ran.code !== 0 && attempt < 10; attempt += 1) {
        assert.isNull(ran.code, ran.stdout)
        yield* boot(ca)
        ran = yield* rotate
      }
      assert.deepStrictEqual(killed, [
        "ca after begun",
        "gateway after proved",
        "ca after drained",
        "gateway after removed",
        "ca after returned"
      ])
      const second = assertSettled(ca, before, ran, old)
      yield* assertRefused(where, oldKey)
      yield* boot(ca)

      // Killed as soon as each phase is on record.
      copyFileSync(ca.provisioner.keyPath, oldKey)
      for (const phase of ["begun", "prepared", "proved", "switched", "drained", "removed", "returned"]) {
        const attempt = start(where, [...rotateArgs, ...args])
        const ended = finish(attempt)
        const isOver = () => attempt.exitCode !== null || attempt.signalCode !== null
        const reached = () => {
          const seen = phasesSeen(rotation)
          return seen.length < 8 && seen.includes(phase)
        }
        yield* Effect.promise(async () => {
          while (!reached() && !isOver()) await delay(2)
        })
        attempt.kill("SIGKILL")
        assert.isNull((yield* Effect.promise(() => ended)).code, phase)
        yield* boot(ca)
      }
      assertSettled(ca, before, yield* rotate, second)
      yield* assertRefused(where, oldKey)

      yield* station.twoMore
      assert.isUndefined(loop.pollUnsafe(), "the loop has failed")
      assert.isAbove(serials.size, 20)
      yield* Fiber.interrupt(loop)
    }),
  600_000
)

layer(StepCaProcess.layer(), { excludeTestServices: true })("mosaic federation provisioner rotate", (it) => {
  const at = Effect.gen(function* () {
    const ca = yield* StepCaProcess
    const where = yield* station({ ...ca.environment, STEPPATH: ca.stepPath })
    return { ca, where, rotation: join(where.directory, "rotation") }
  })
  const both = ["--reload-ca", "true", "--reload-gateway", "true", "--drain", "now"]
  const refused = (ran: Ran) => documentOf<ErrorDocument>(ran.stdout).error

  it.effect("says what it would do, and changes nothing", () =>
    Effect.gen(function* () {
      const { ca, where } = yield* at
      const before = readFileSync(join(ca.stepPath, "config/ca.json"), "utf8")
      const ran = yield* mosaic(where, [...rotateArgs, "--dry-run"])
      const document = documentOf<RotationDocument>(ran.stdout)
      assert.deepInclude(document, {
        phase: null,
        newKid: null,
        keyFiles: [ca.provisioner.keyPath],
        done: []
      })
      assert.lengthOf(document.pending, 8)
      const people = yield* mosaic(where, ["federation", "provisioner", "rotate", "--dry-run"])
      assert.include(people.stdout, "pending  proved    the CA has signed for the new key")
      assert.include(people.stdout, "Nothing was changed.")
      assert.isFalse(existsSync(join(ca.stepPath, "rotation")))
      assert.strictEqual(readFileSync(join(ca.stepPath, "config/ca.json"), "utf8"), before)
    })
  )

  it.effect("refuses what it cannot rotate, before anything is changed", () =>
    Effect.gen(function* () {
      const { ca, rotation, where } = yield* at
      const before = readFileSync(join(ca.stepPath, "config/ca.json"), "utf8")
      const usage = yield* mosaic(where, rotateArgs)
      assert.strictEqual(usage.code, 2)
      assert.strictEqual(refused(usage).message, "--reload-ca is needed")

      const others = join(where.directory, "ca.json")
      const other = JSON.parse(before) as CaJson
      writeFileSync(
        others,
        JSON.stringify({ authority: { provisioners: other.authority.provisioners.slice(1) } })
      )
      const config = yield* mosaic(where, [
        ...rotateArgs,
        ...both,
        "--ca-config",
        others,
        "--state",
        rotation
      ])
      assert.strictEqual(config.code, 8)
      assert.strictEqual(refused(config).code, "CA_CONFIG_UNUSABLE")
      assert.strictEqual(refused(config).message, `${others} has no JWK provisioner mosaic-fed`)
      assert.include(refused(config).remediation, "name the ca.json of this CA with --ca-config")

      mkdirSync(rotation, { recursive: true })
      writeFileSync(join(rotation, "state.json"), "{")
      const state = yield* mosaic(where, [...rotateArgs, ...both, "--state", rotation])
      assert.strictEqual(state.code, 8)
      assert.strictEqual(refused(state).code, "ROTATION_STATE_UNUSABLE")
      assert.include(refused(state).message, "state.json cannot be read as a rotation's")
      assert.include(refused(state).remediation, "name the directory of the rotation that was begun")

      writeFileSync(join(rotation, "lock"), `${process.pid}\n`)
      const locked = yield* mosaic(where, [...rotateArgs, ...both, "--state", rotation])
      assert.strictEqual(locked.code, 3)
      assert.strictEqual(refused(locked).code, "ROTATION_UNDER_WAY")
      assert.strictEqual(refused(locked).message, `process ${process.pid} has ${rotation}/lock`)
      assert.strictEqual(refused(locked).remediation, `wait for it, or look at it: ps -p ${process.pid}`)
      assert.strictEqual(readFileSync(join(ca.stepPath, "config/ca.json"), "utf8"), before)
    })
  )

  it.effect("docs/federation/rotation.md: its commands rotate", () =>
    Effect.gen(function* () {
      const { ca, where } = yield* at
      const page = readFileSync(new URL("../../../docs/federation/rotation.md", import.meta.url), "utf8")
      const script = [...page.matchAll(/^```(.*)\n([^]*?)^```$/gm)].flatMap(([, info = "", content = ""]) => {
        assert.include(["sh", "sh root"], info)
        return info === "sh" ? [content] : []
      })
      assert.lengthOf(script, 1)
      const bin = join(where.environment["HOME"] ?? "", "bin")
      const program = (name: string, line: string) =>
        writeFileSync(join(bin, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 })
      mkdirSync(bin)
      // Here there is no service manager, and nobody waits for a quarter of an hour.
      program("systemctl", `case $2 in step-ca) kill -HUP ${String(ca.pid())} ;; esac`)
      program("mosaic", `exec '${process.execPath}' '${launcher}' "$@" --drain now`)
      const { status, stderr, stdout } = spawnSync("sh", ["-euc", script.join("")], {
        cwd: where.directory,
        encoding: "utf8",
        env: { ...where.environment, PATH: `${bin}${delimiter}${where.environment["PATH"] ?? ""}` }
      })
      assert.strictEqual(status, 0, stdout + stderr)
      assert.include(stdout, "Nothing was changed.")
      assert.include(stdout, "Provisioner mosaic-fed has a new key, and the CA refuses the old one.")
      // The page names each phase, in its order.
      assert.deepStrictEqual(
        [...page.matchAll(/^\| `(\w+)` \|/gm)].map(([, phase]) => phase ?? ""),
        [...phasesSeen(join(ca.stepPath, "rotation"))]
      )
    })
  )

  it.effect("waits for a reload that does not come about, and goes on once it does", () =>
    Effect.gen(function* () {
      const { ca, where } = yield* at
      const fails = [
        "--reload-ca",
        "echo no such unit >&2; exit 5",
        "--reload-gateway",
        "true",
        "--drain",
        "now"
      ]
      const failed = yield* mosaic(where, [...rotateArgs, ...fails])
      assert.strictEqual(failed.code, 5)
      assert.strictEqual(refused(failed).code, "ROTATION_RELOAD_FAILED")
      assert.include(
        refused(failed).message,
        "step-ca, after begun: its reload command ended with 5: no such unit"
      )
      assert.include(
        refused(failed).remediation,
        "have it reload (kill -HUP PID), then run the same command again"
      )
      const begun = documentOf<RotationDocument>((yield* mosaic(where, [...rotateArgs, "--dry-run"])).stdout)
      assert.strictEqual(begun.phase, "begun")

      const works = [
        "--reload-ca",
        `kill -HUP ${String(ca.pid())}`,
        "--reload-gateway",
        "true",
        "--drain",
        "1s"
      ]
      const from = yield* DateTime.now
      const ran = yield* mosaic(where, ["federation", "provisioner", "rotate", ...works])
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.match(ran.stderr, /switched +the gateways use the new key\n/)
      assert.include(ran.stdout, `new  ${begun.newKid ?? ""}`)
      const over = documentOf<RotationDocument>(
        readFileSync(join(ca.stepPath, "rotation/state.json"), "utf8")
      )
      const times = over.done.map(({ at: moment }) => Date.parse(moment))
      assert.isAtLeast((times[4] ?? 0) - (times[3] ?? 0), 1000)
      assert.isAtLeast(times.at(-1) ?? 0, DateTime.toEpochMillis(from))
    })
  )
})
