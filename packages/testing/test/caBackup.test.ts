/** infra/step-ca/backup.sh and restore.sh: what they refuse, and why. That a restored CA works: Setup.test.ts of the CLI. */
import { spawnSync } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { StepCaProcess } from "../src/StepCaProcess.ts"
import { stepTools } from "../src/StepTools.ts"
import { booted, caJson, filesIn, infra, temporary } from "./support/initScript.ts"

const run = Effect.fnUntraced(function* (
  script: "backup.sh" | "restore.sh",
  stepPath: string,
  ...args: ReadonlyArray<string>
) {
  const { jq } = yield* stepTools()
  const { status, stderr } = spawnSync("sh", [join(infra, script), ...args], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"] ?? "", STEPPATH: stepPath, JQ_BIN: jq.path }
  })
  return { code: status, stderr }
})

/** Paths and contents, without what a copy cannot keep. */
const contents = (directory: string) =>
  Object.entries(filesIn(directory))
    .filter(([path]) => !path.startsWith(".mosaic-") && !path.startsWith("config/") && path !== "db/LOCK")
    .map(([path, facts]) => `${path} ${facts.split(" ").slice(0, 2).join(" ")}`)

layer(StepCaProcess.layer(), { excludeTestServices: true })("backup.sh and restore.sh", (it) => {
  it.effect("back up a CA that is stopped, and refuse one that runs", () =>
    Effect.gen(function* () {
      const ca = yield* StepCaProcess
      const base = yield* temporary
      const archive = join(base, "ca.tar")
      const running = yield* run("backup.sh", ca.stepPath, archive)
      assert.strictEqual(running.code, 1)
      assert.include(running.stderr, "step-ca runs on")
      assert.isFalse(existsSync(archive))

      yield* ca.stop
      yield* Effect.addFinalizer(() => Effect.orDie(ca.start))
      const before = filesIn(ca.stepPath)
      assert.strictEqual((yield* run("backup.sh", ca.stepPath, archive)).code, 0)
      assert.deepStrictEqual(filesIn(ca.stepPath), before)
      assert.strictEqual(statSync(archive).mode & 0o777, 0o600)
      const twice = yield* run("backup.sh", ca.stepPath, archive)
      assert.strictEqual(twice.code, 1)
      assert.include(twice.stderr, "exists, and nothing is overwritten")

      // Elsewhere, and whole: a later boot has nothing to repair, and every path leads to the new place.
      const elsewhere = join(base, "elsewhere")
      const restored = yield* run("restore.sh", elsewhere, archive)
      assert.strictEqual(restored.code, 0, restored.stderr)
      assert.deepStrictEqual(contents(elsewhere), contents(ca.stepPath))
      assert.notInclude(readFileSync(caJson(elsewhere), "utf8"), ca.stepPath)
      const said = yield* booted(elsewhere)
      assert.notInclude(said, "repaired")
      assert.notInclude(said, "first boot")

      const onto = yield* run("restore.sh", elsewhere, archive)
      assert.strictEqual(onto.code, 1)
      assert.include(onto.stderr, "is there already, and nothing is overwritten")
    })
  )

  it.effect("restore nothing from an archive that is cut off, altered or another", () =>
    Effect.gen(function* () {
      const ca = yield* StepCaProcess
      const base = yield* temporary
      const archive = join(base, "ca.tar")
      yield* ca.stop
      yield* Effect.addFinalizer(() => Effect.orDie(ca.start))
      assert.strictEqual((yield* run("backup.sh", ca.stepPath, archive)).code, 0)
      const whole = readFileSync(archive)
      const damaged: ReadonlyArray<readonly [string, () => void, string]> = [
        ["cut off", () => truncateSync(archive, Math.floor(whole.length / 2)), "is no whole archive"],
        [
          "altered",
          () => {
            const at = whole.indexOf("-----BEGIN CERTIFICATE-----")
            const altered = Buffer.from(whole)
            altered[at + 100] = (altered[at + 100] ?? 0) ^ 1
            writeFileSync(archive, altered)
          },
          "a file differs from its sum"
        ],
        ["no archive", () => writeFileSync(archive, "not an archive"), "is no whole archive"]
      ]
      for (const [what, damage, why] of damaged) {
        damage()
        const stepPath = join(base, what)
        const { code, stderr } = yield* run("restore.sh", stepPath, archive)
        assert.strictEqual(code, 1, what)
        assert.include(stderr, why, what)
        assert.deepStrictEqual(readdirSync(stepPath), [], what)
      }
    })
  )

  it.effect("say what is missing", () =>
    Effect.gen(function* () {
      const base = yield* temporary
      const empty = join(base, "empty")
      mkdirSync(empty)
      assert.include((yield* run("backup.sh", empty, join(base, "a.tar"))).stderr, "no CA in")
      assert.include((yield* run("restore.sh", empty, join(base, "a.tar"))).stderr, "is not a file")
      for (const script of ["backup.sh", "restore.sh"] as const) {
        assert.include((yield* run(script, "", "-")).stderr, "STEPPATH is not set")
        assert.strictEqual((yield* run(script, empty)).code, 2)
        assert.strictEqual((yield* run(script, empty, "--help")).code, 0)
      }
    })
  )
})
