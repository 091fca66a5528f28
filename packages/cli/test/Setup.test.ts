/**
 * docs/federation/SETUP.md, word for word: its commands are run in their order, those for a container engine resolved with
 * the compose file and done natively, on PostgreSQL 17, Valkey 8 and step-ca.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import { debianRoot } from "@mosaic-federation/testing/DebianRoot"
import { federated } from "@mosaic-federation/testing/federated"
import { FederatedParts } from "@mosaic-federation/testing/FederatedParts"
import type { NativePostgres } from "@mosaic-federation/testing/FederatedServer"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { Effect, Redacted } from "effect"
import { catalogue } from "@mosaic-federation/domain/MosaicError"
import { composeStack } from "./support/composeStack.ts"
import { launcher, type Ran, type Station, station } from "./support/mosaic.ts"
import { sectionsOf } from "./support/sectionsOf.ts"

const root = fileURLToPath(new URL("../../../", import.meta.url))

interface Block {
  readonly heading: string
  /** The words after the three backticks. */
  readonly info: string
  readonly content: string
}

const page = readFileSync(join(root, "docs/federation/SETUP.md"), "utf8")

const blocks: ReadonlyArray<Block> = page.split(/^## /m).flatMap((section) =>
  [...section.matchAll(/^ *```(.*)\n([^]*?)^ *```$/gm)].map(([, info = "", content = ""]) => ({
    heading: section.split("\n", 1)[0] ?? "",
    info,
    content
  }))
)

const known = new Set(["sh", "sh keep", "sh native", "sh local", "sh restored", "mermaid", "text"])

/** The blocks under a heading, of one kind, as one script; `sh keep` belongs to every later `sh`. */
const script = (heading: string, info = "sh") => {
  const found = blocks.filter((block) => block.heading === heading && block.info === info)
  assert.isAtLeast(found.length, 1, `${heading}: no ${info}`)
  return found.map(({ content }) => content).join("")
}

/** A directory like a checkout, with `mosaic` and `jq` on PATH. */
const checkout = Effect.gen(function* () {
  const { jq } = yield* stepTools()
  const where = yield* station()
  const home = where.environment["HOME"] ?? ""
  const bin = join(home, "bin")
  mkdirSync(bin)
  writeFileSync(join(bin, "mosaic"), `#!/bin/sh\nexec '${process.execPath}' '${launcher}' "$@"\n`)
  chmodSync(join(bin, "mosaic"), 0o755)
  symlinkSync(jq.path, join(bin, "jq"))
  for (const name of ["docker-compose.federated.yml", "infra"])
    symlinkSync(join(root, name), join(where.directory, name))
  return {
    home,
    bin,
    directory: where.directory,
    environment: { ...where.environment, PATH: `${bin}${delimiter}${where.environment["PATH"] ?? ""}` }
  }
})

const shell = (
  { directory, environment }: Station,
  lines: string,
  extra: Readonly<Record<string, string>> = {}
) =>
  Effect.promise(async (): Promise<Ran> => {
    const child = spawn("sh", ["-euc", lines], {
      cwd: directory,
      env: { ...environment, ...extra },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "exit") as Promise<[number | null]>
    ])
    return { code, stdout, stderr }
  })

const user = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

/** A new grant, whose id it prints, and a certificate under it. */
const issueUnder = (name: string) => `
GRANT=$(mosaic federation grant create --user ${user} --peer ${name}.example --scope a --json | jq -r .id)
echo "GRANT=$GRANT"
mosaic federation cert issue --grant "$GRANT" --key-out ${name}.key --cert-out ${name}.crt
`

const grantOf = (said: string) => /^GRANT=(\S+)$/m.exec(said)?.[1] ?? assert.fail(said)

const succeeded = (...parameters: Parameters<typeof shell>) =>
  Effect.map(shell(...parameters), (ran) => {
    assert.strictEqual(ran.code, 0, `${parameters[1]}\n${ran.stdout}\n${ran.stderr}`)
    return ran.stdout
  })

it("docs/federation/SETUP.md has no command that no test knows of", () => {
  for (const { heading, info } of blocks) assert.isTrue(known.has(info), `${heading}: ${info}`)
})

it("docs/federation/SETUP.md names errors, files and sections that are there", () => {
  const codes = new Set(catalogue.map(({ code }) => code))
  const named = [...page.matchAll(/`((?:CA|STORAGE|CERTIFICATE|TIER)_[A-Z_]+)`/g)].flatMap(([, code = ""]) =>
    page.includes(`| \`${code}\` |`) ? [] : [code]
  )
  for (const code of named) assert.isTrue(codes.has(code), code)
  assert.isAtLeast(named.length, 6)
  for (const [, path = "", section] of page.matchAll(/\]\((?!https:)([^)#]*)(?:#([^)]+))?\)/g)) {
    const target = join(root, "docs/federation", path === "" ? "SETUP.md" : path)
    assert.isTrue(existsSync(target), target)
    if (section === undefined) continue
    assert.include(sectionsOf(target), section, target)
  }
})

federated(
  "docs/federation/SETUP.md",
  () => {
    it.live(
      "starts, configures, backs up and restores, and what was issued before goes on",
      () =>
        Effect.gen(function* () {
          const where = yield* checkout
          const stack = yield* composeStack(where.bin, where.home)
          yield* succeeded(where, script("Start"))

          const settings = script("Configure", "sh keep")
          const configure = script("Configure")
          const run = (lines: string) => succeeded(where, `${settings}${lines}`, stack.ports())
          const first = yield* run(configure)
          assert.match(first, /peer\.crt: a valid grant certificate/)

          assert.notMatch(yield* run(script("Verify")), /^[✗–]/m)
          const said = yield* run(script("Troubleshooting"))
          const [ofCa, pinned] = said.match(/^[0-9a-f]{64}$|(?<=Fingerprint=).*$/gim) ?? []
          assert.strictEqual(pinned?.replaceAll(":", "").toLowerCase(), ofCa)

          // Valkey has nothing that must be kept: a revocation that the CA has yet to hear of outlives its loss.
          const forgotten = yield* run(issueUnder("forgotten"))
          const serialOf = (said: string) => /^ *serial +(\d+)$/m.exec(said)?.[1] ?? assert.fail(said)
          yield* stack.ca().stop
          const revoke = (id: string) => `mosaic federation grant revoke ${id} --json`
          const waiting = yield* run(revoke(grantOf(forgotten)))
          assert.deepInclude(JSON.parse(waiting), {
            caRevocations: { done: 0, open: 1, because: "CA_CONNECTION_REFUSED" }
          })
          assert.strictEqual(yield* stack.parts().valkey.command("flushall"), "OK")
          yield* stack.ca().start
          const revoked = yield* run(revoke(grantOf(forgotten)))
          assert.deepInclude(JSON.parse(revoked), { caRevocations: { done: 1, open: 0, because: null } })

          const kept = yield* run(issueUnder("kept"))
          yield* run(script("Backup"))
          for (const name of ["step-ca.tar", "mosaic.dump", "roles.sql"]) {
            assert.strictEqual(statSync(join(where.directory, "backup", name)).mode & 0o777, 0o600, name)
          }
          const rootBefore = readFileSync(stack.ca().rootPath, "utf8")
          const lost = yield* run(issueUnder("lost"))

          yield* stack.anew
          yield* succeeded(where, script("Restore"))
          assert.strictEqual(readFileSync(stack.ca().rootPath, "utf8"), rootBefore)
          const [again = ""] = configure.split("mosaic db migrate")
          const after = yield* run(`${again}
mosaic db status --check
mosaic federation cert verify kept.crt --root gateway/root_ca.crt
mosaic federation cert issue --grant ${grantOf(kept)} --key-out new.key --cert-out new.crt
`)
          assert.match(yield* run(script("Restore", "sh restored")), /Records and CA agree/)
          assert.match(after, /kept\.crt: a valid grant certificate/)
          const serials = [forgotten, kept, lost, after].map(serialOf)
          assert.strictEqual(new Set(serials).size, serials.length)
          const known = yield* run("mosaic federation cert list --json")
          assert.notInclude(known, serialOf(lost))
          assert.deepInclude(JSON.parse(yield* run(revoke(grantOf(kept)))), {
            liveCertificates: 2,
            caRevocations: { done: 2, open: 0, because: null }
          })
          assert.match(yield* run(script("Retention")), /nothing was changed\.[^]*rows were deleted\./)
          assert.match(yield* run(script("Upgrade")), /The schema is up to date/)
        }),
      240_000
    )

    it.live("backs up and restores natively as well", () =>
      Effect.gen(function* () {
        const where = yield* checkout
        const debian = yield* debianRoot
        const chroot = `exec /usr/sbin/chroot --userspec=postgres:postgres '${debian}'`
        for (const name of ["pg_dump", "pg_dumpall", "pg_restore", "psql"]) {
          writeFileSync(
            join(where.bin, name),
            `#!/bin/sh\n${chroot} /usr/lib/postgresql/17/bin/${name} "$@"\n`
          )
          chmodSync(join(where.bin, name), 0o755)
        }
        const at = ({ postgres }: { readonly postgres: NativePostgres }, stepPath: string) => ({
          PGHOST: postgres.host,
          PGPORT: String(postgres.port),
          PGUSER: "mosaic",
          PGPASSWORD: Redacted.value(postgres.password),
          STEPPATH: stepPath
        })
        // The roles' passwords come with them.
        const passwords = { postgres: Redacted.make("of-before"), valkey: Redacted.make("another") }
        const [before, after] = yield* Effect.all([
          FederatedParts.native({ passwords }),
          FederatedParts.native({ passwords })
        ])
        yield* before.postgres.exec("create table proof as select '[1,2,3]'::vector as v")
        const { step, stepCa } = yield* stepTools()
        symlinkSync(step.path, join(where.bin, "step"))
        symlinkSync(stepCa.path, join(where.bin, "step-ca"))
        const ca = yield* StepCaProcess.make({ stepPath: join(where.home, "ca") })
        yield* ca.stop
        yield* succeeded(where, script("Backup", "sh native"), at(before, ca.stepPath))

        const stepPath = join(where.home, "ca-elsewhere")
        yield* succeeded(where, script("Restore", "sh native"), at(after, stepPath))
        assert.strictEqual(yield* after.postgres.exec("select v from proof"), "[1,2,3]")
        const again = yield* StepCaProcess.make({ stepPath })
        assert.strictEqual(again.rootPem, ca.rootPem)
        assert.strictEqual(again.port, ca.port)
      })
    )
  },
  "native"
)

it.live("docs/federation/SETUP.md: the local tier is a directory that can be copied", () =>
  Effect.gen(function* () {
    const where = yield* checkout
    const create = `mosaic federation grant create --user ${user} --peer gateway.example --scope a`
    yield* succeeded(where, `${create}\nmosaic db prune --json`)
    yield* succeeded(where, script("Backup", "sh local"))
    const before = yield* succeeded(where, "mosaic federation grant list --json")
    const elsewhere = { MOSAIC_HOME: join(where.home, "elsewhere") }
    yield* succeeded(where, script("Restore", "sh local"), elsewhere)
    assert.strictEqual(yield* succeeded(where, "mosaic federation grant list --json", elsewhere), before)
    assert.isTrue(existsSync(join(elsewhere.MOSAIC_HOME, "postgres")))
    const key = 'cat "$MOSAIC_HOME/audit.key"'
    assert.strictEqual(yield* succeeded(where, key, elsewhere), yield* succeeded(where, key))
  })
)
