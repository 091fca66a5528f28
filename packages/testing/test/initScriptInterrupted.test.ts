/** Boots of init.sh that are killed, run at the same time, or out of disk: the next one resumes, or starts afresh. */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { delimiter, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { onPath } from "../src/GoToolchain.ts"
import { stepTools } from "../src/StepTools.ts"
import {
  boot,
  booted,
  type BootOptions,
  caJson,
  filesIn,
  openKey,
  pathWithout,
  provisionerOf,
  readConfig,
  temporary
} from "./support/initScript.ts"

const program = (directory: string, name: string, body: string) => {
  mkdirSync(directory, { recursive: true })
  const path = join(directory, name)
  writeFileSync(path, `#!/bin/sh\n${body}\n`)
  chmodSync(path, 0o755)
  return path
}

const real = (name: string) => {
  const [path] = onPath(name)
  assert(path !== undefined, `no ${name} on PATH`)
  return path
}

/** A PATH on which the `count`-th call of a program that begins with these arguments kills init.sh, and does nothing. */
const killedAt = (directory: string, name: string, firstArgument: string, count: number): BootOptions => {
  rmSync(directory, { recursive: true, force: true })
  const calls = join(directory, "calls")
  program(
    directory,
    name,
    `if [ "$1" = '${firstArgument}' ]; then
  echo call >>'${calls}'
  if [ "$(wc -l <'${calls}')" -eq ${count} ]; then kill -9 "$PPID"; exit 1; fi
fi
exec '${real(name)}' "$@"`
  )
  return { env: { PATH: [directory, process.env["PATH"] ?? ""].join(delimiter) } }
}

/** Modes and contents, whenever and as what inode they were written. */
const contentsIn = (directory: string) =>
  Object.fromEntries(
    Object.entries(filesIn(directory)).map(([path, text]) => [path, text.split(" ").slice(0, 2).join(" ")])
  )

const secretParts = ["certs", "config", "gateway", "secrets"]

/** A CA is whole when a further boot finds nothing to do, and its keys open with what lies beside them. */
const assertWhole = Effect.fnUntraced(function* (stepPath: string) {
  // The lock file appears with the first boot that finds flock.
  const all = () => ({ ...filesIn(stepPath), ".mosaic-init.lock": "" })
  const before = all()
  const said = yield* booted(stepPath)
  assert.match(said, /^(init\.sh: template \S+ sha256 [0-9a-f]{64}\n){2}$/)
  assert.deepStrictEqual(all(), before)
  const left = readdirSync(stepPath, { recursive: true, encoding: "utf8" }).filter((path) =>
    /\.new$|^\.mosaic-init\.(?!lock$)/.test(path)
  )
  assert.deepStrictEqual(left, [])
  for (const [name, prefix] of [
    ["mosaic-fed", ""],
    ["mosaic-gateway", "gateway_"]
  ] as const) {
    const path = (file: string) => join(stepPath, "gateway", `${prefix}provisioner_${file}`)
    const { d, kid } = yield* openKey(path("key.jwe"), readFileSync(path("password"), "utf8"))
    assert.isString(d)
    const { encryptedKey, key } = provisionerOf(readConfig(stepPath), name)
    assert.isUndefined(encryptedKey)
    assert.strictEqual(kid, key.kid)
  }
})

describe("init.sh, interrupted", () => {
  it.live("starts afresh after a first boot that was killed before its keys were complete", () =>
    Effect.gen(function* () {
      const base = yield* temporary
      const { jq, step } = yield* stepTools()
      const stepThat = (name: string, atInit: string) => ({
        env: {
          STEP_BIN: program(
            join(base, "bin", name),
            "step",
            `if [ "$1 $2" = "ca init" ]; then\n${atInit}\nkill -9 "$PPID"; exit 1; fi\nexec '${step.path}' "$@"`
          )
        }
      })
      const jqThat = (count: number) => {
        const directory = join(base, "bin", `jq-${count}`)
        const calls = join(directory, "calls")
        const body = `echo call >>'${calls}'
if [ "$(wc -l <'${calls}')" -eq ${count} ]; then kill -9 "$PPID"; exit 1; fi
exec '${jq.path}' "$@"`
        return { env: { JQ_BIN: program(directory, "jq", body) } }
      }
      const moments: ReadonlyArray<readonly [string, BootOptions]> = [
        ["before step ca init", stepThat("before", "")],
        [
          "in the middle of step ca init",
          stepThat(
            "during",
            `'${step.path}' "$@" & child=$!
until [ -e "$STEPPATH/secrets/root_ca_key" ]; do :; done
kill -9 "$child"`
          )
        ],
        ["after step ca init", stepThat("after", `'${step.path}' "$@"`)],
        ["while ca.json is patched", jqThat(3)],
        ["while the templates are installed", killedAt(join(base, "bin", "cmp"), "cp", "--", 2)],
        ["while the disk is asked to keep it", killedAt(join(base, "bin", "sync"), "sync", "--", 1)]
      ]
      yield* Effect.forEach(
        moments,
        ([moment, options], index) =>
          Effect.gen(function* () {
            const stepPath = join(base, `step-${index}`)
            const killed = yield* boot(stepPath, options)
            assert.isNull(killed.code, `${moment}: ${killed.stdout}${killed.stderr}`)
            for (const part of secretParts) assert.isFalse(existsSync(join(stepPath, part)), moment)
            const said = yield* booted(stepPath)
            assert.match(said, /removed: what an interrupted boot left in \S+ \(its keys were never in use\)/)
            assert.include(said, `first boot: making the CA in ${stepPath}`)
            yield* assertWhole(stepPath)
          }),
        { concurrency: 4 }
      )
    })
  )

  it.live("resumes a first boot that was killed after its keys were complete, wherever that was", () =>
    Effect.gen(function* () {
      const base = yield* temporary
      const stepPath = join(base, "step")
      const bin = join(base, "bin")
      const kept = join(base, "kept")
      // The first `mv --` moves the gateway's key, the second publishes certs/.
      assert.isNull((yield* boot(stepPath, killedAt(bin, "mv", "--", 2))).code)
      const stage = readdirSync(stepPath).find((name) => /^\.mosaic-init\.\w{6}$/.test(name)) ?? "none"
      const { ready: _ready, ...complete } = contentsIn(join(stepPath, stage))
      cpSync(stepPath, kept, { recursive: true, preserveTimestamps: true })

      // Six parts, and what is left of the staging directory.
      const moments: ReadonlyArray<BootOptions> = [
        ...[1, 2, 3, 4, 5, 6].map((count) => killedAt(join(bin, `mv-${count}`), "mv", "--", count)),
        killedAt(join(bin, "rm"), "rm", "-rf", 1)
      ]
      for (const [index, options] of moments.entries()) {
        rmSync(stepPath, { recursive: true })
        cpSync(kept, stepPath, { recursive: true, preserveTimestamps: true })
        const killed = yield* boot(stepPath, options)
        assert.isNull(killed.code, `${index}: ${killed.stdout}${killed.stderr}`)
        assert.include(
          yield* booted(stepPath),
          "resumed: the first boot was interrupted after its keys were complete"
        )
        const { ".mosaic-init.lock": _lock, ...now } = contentsIn(stepPath)
        assert.deepStrictEqual(now, complete)
      }
      yield* assertWhole(stepPath)
    })
  )

  it.live("publishes nothing over another CA that came in between", () =>
    Effect.gen(function* () {
      const base = yield* temporary
      const stepPath = join(base, "step")
      yield* boot(stepPath, killedAt(join(base, "bin"), "mv", "--", 2))
      mkdirSync(join(stepPath, "certs"))
      writeFileSync(join(stepPath, "certs", "root_ca.crt"), "another root")
      const before = filesIn(stepPath)
      const { code, stderr } = yield* boot(stepPath)
      assert.strictEqual(code, 1)
      assert.match(
        stderr,
        /\/certs is not empty, and the first boot has a new one in \S+: nothing was overwritten; move one of them away and start again/
      )
      assert.deepStrictEqual(filesIn(stepPath), before)
    })
  )

  it.live("loses no key of a CA that step ca init made, wherever its first later boot is killed", () =>
    Effect.gen(function* () {
      const base = yield* temporary
      const stepPath = join(base, "step")
      const kept = join(base, "kept")
      yield* booted(stepPath)
      // As step ca init leaves it: the key in ca.json, neither mosaic-gateway nor templates.
      const config = readConfig(stepPath)
      const jwe = readFileSync(join(stepPath, "gateway", "provisioner_key.jwe"), "utf8")
      const password = readFileSync(join(stepPath, "gateway", "provisioner_password"))
      const { claims: _claims, options: _options, ...bare } = provisionerOf(config, "mosaic-fed")
      const provisioners = [{ ...bare, encryptedKey: jwe }]
      writeFileSync(caJson(stepPath), JSON.stringify({ ...config, authority: { provisioners } }), {
        mode: 0o600
      })
      for (const part of ["gateway", "templates"]) rmSync(join(stepPath, part), { recursive: true })
      cpSync(stepPath, kept, { recursive: true, preserveTimestamps: true })

      let ended: number | null = null
      let kills = 0
      while (ended === null) {
        rmSync(stepPath, { recursive: true })
        cpSync(kept, stepPath, { recursive: true, preserveTimestamps: true })
        const options = killedAt(join(base, "bin"), "mv", "-f", kills + 1)
        const { code, stderr } = yield* boot(stepPath, options)
        ended = code
        if (code !== null) {
          assert.strictEqual(code, 0, stderr)
          break
        }
        kills += 1
        yield* booted(stepPath)
        assert.strictEqual(readFileSync(join(stepPath, "gateway", "provisioner_key.jwe"), "utf8"), jwe)
        writeFileSync(join(stepPath, "gateway", "provisioner_password"), password, { mode: 0o600 })
        yield* assertWhole(stepPath)
      }
      assert.isAtLeast(kills, 5)
    })
  )

  for (const without of [[], ["flock"]]) {
    it.live(
      `makes one CA when three boots begin at once${without.map((name) => ` without ${name}`).join("")}`,
      () =>
        Effect.gen(function* () {
          const stepPath = join(yield* temporary, "step")
          const PATH = yield* pathWithout(without)
          const boots = [1, 2, 3].map(() => booted(stepPath, { env: { PATH } }))
          const said = yield* Effect.all(boots, { concurrency: 3 })
          assert.strictEqual(said.join("").match(/first boot: making the CA/g)?.length, 1)
          yield* assertWhole(stepPath)
        })
    )
  }

  it.live("takes over the lock of a boot that was killed, where there is no flock", () =>
    Effect.gen(function* () {
      const stepPath = join(yield* temporary, "step")
      const PATH = yield* pathWithout(["flock"])
      mkdirSync(stepPath)
      // A process id above the highest that Linux gives (2^22).
      writeFileSync(join(stepPath, ".mosaic-init.lock.pid"), "4194305\n")
      yield* booted(stepPath, { env: { PATH } })
      assert.isFalse(existsSync(join(stepPath, ".mosaic-init.lock.pid")))
      yield* assertWhole(stepPath)
    })
  )

  // A file may have 512 bytes (1024 in some shells), more is a write error as on a full disk.
  const fullDisk = "trap '' XFSZ; ulimit -f 1"

  it.live("says that a first boot failed where the disk is full, and the next one succeeds", () =>
    Effect.gen(function* () {
      const stepPath = join(yield* temporary, "step")
      const { code, stderr } = yield* boot(stepPath, { before: fullDisk })
      assert.strictEqual(code, 1)
      assert.match(stderr, /file too large[^]*error: step ca init failed \(its words are above\)/i)
      assert.include(stderr, "stopped before the new keys were complete: they are removed")
      assert.deepStrictEqual(Object.keys(filesIn(stepPath)), [".mosaic-init.lock"])
      yield* booted(stepPath)
      yield* assertWhole(stepPath)
    })
  )

  it.live("keeps the ca.json that it cannot replace where the disk is full", () =>
    Effect.gen(function* () {
      const stepPath = join(yield* temporary, "step")
      yield* booted(stepPath)
      const before = readFileSync(caJson(stepPath), "utf8")
      const env = { MOSAIC_CERT_MAX: "48h" }
      const { code, stderr } = yield* boot(stepPath, { before: fullDisk, env })
      assert.notStrictEqual(code, 0)
      assert.match(stderr, /file too large/i)
      assert.strictEqual(readFileSync(caJson(stepPath), "utf8"), before)
      assert.include(yield* booted(stepPath, { env }), 'maxTLSCertDuration: "24h" -> "48h"')
    })
  )
})
