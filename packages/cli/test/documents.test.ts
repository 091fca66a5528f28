/** README.md and docs/cli.md, word for word: their commands are run, and their documents have the shapes that they show. */
import { copyFileSync, chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { spawnSync } from "node:child_process"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { Effect } from "effect"
import { makeKey } from "./support/gatewayProcess.ts"
import { createGrant, documentOf, launcher, mosaic, type Station, station, user } from "./support/mosaic.ts"
import { grantor, newcomer } from "./support/peers.ts"

const root = fileURLToPath(new URL("../../../", import.meta.url))

interface Block {
  /** The words after the three backticks. */
  readonly info: string
  readonly content: string
}

const blocksOf = (path: string): ReadonlyArray<Block> =>
  [...readFileSync(join(root, path), "utf8").matchAll(/^```(.*)\n([^]*?)^```$/gm)].map(
    ([, info = "", content = ""]) => ({ info, content })
  )

const page = blocksOf("docs/cli.md")

/** A directory with the root in it, and `mosaic` and `jq` on PATH, as the page takes for granted. */
const readerAtCa = Effect.gen(function* () {
  const { environment, rootPath } = yield* StepCaProcess
  const { jq } = yield* stepTools()
  const where = yield* station(environment)
  const bin = join(where.environment["HOME"] ?? "", "bin")
  mkdirSync(bin)
  writeFileSync(join(bin, "mosaic"), `#!/bin/sh\nexec '${process.execPath}' '${launcher}' "$@"\n`)
  chmodSync(join(bin, "mosaic"), 0o755)
  symlinkSync(jq.path, join(bin, "jq"))
  copyFileSync(rootPath, join(where.directory, "root_ca.crt"))
  return {
    directory: where.directory,
    environment: { ...where.environment, PATH: `${bin}${delimiter}${where.environment["PATH"] ?? ""}` }
  } satisfies Station
})

const shell = ({ directory, environment }: Station, script: string) =>
  spawnSync("sh", ["-euc", script], { cwd: directory, env: environment, encoding: "utf8" })

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0

/** The names and types of a document, arrays by their first element; what may be null is of any type. */
const shapeOf = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])]
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]))
  }
  return value === null ? "null" : typeof value
}

const documentsIn = new Map(
  page
    .filter(({ info }) => info.startsWith("json "))
    .map(({ content, info }) => [info.slice("json ".length), JSON.parse(content) as Record<string, unknown>])
)

layer(StepCaProcess.layer(), { excludeTestServices: true })("documents", (it) => {
  it.effect("docs/cli.md: every command does what the page says", () =>
    Effect.gen(function* () {
      const where = yield* readerAtCa
      if (!hasOpenssl) {
        // The page shows the peer's side with openssl; here the request comes from Node's crypto instead.
        const { pem, privateKeyPem } = yield* makeCsr("P-256")
        writeFileSync(join(where.directory, "request.csr"), pem)
        writeFileSync(join(where.directory, "peer.key"), privateKeyPem)
      }
      const scripts = page.filter(({ info }) => /^sh\b/.test(info))
      assert.isAtLeast(scripts.length, 3)
      let grant = ""
      for (const { content, info } of scripts) {
        const script = hasOpenssl ? content : content.replaceAll(/^openssl .*$/gm, ":")
        const ran = shell(where, `GRANT='${grant}'\n${script}\necho "GRANT=$GRANT" >&2`)
        const expected = /exit=(\d+)/.exec(info)?.[1] ?? "0"
        assert.strictEqual(String(ran.status), expected, `${content}\n${ran.stdout}\n${ran.stderr}`)
        grant = /^GRANT=(\S+)$/m.exec(ran.stderr)?.[1] ?? grant
        if (expected === "3") {
          const shown = page.find(({ info }) => info === "text")?.content
          const varying = /[0-9a-f]{8}-[-0-9a-f]{27}|\d{4}-\d\d-\d\dT[\d:.]+Z/g
          assert.strictEqual(ran.stderr.replaceAll(varying, "*"), shown?.replaceAll(varying, "*"))
        }
      }
      assert.include(readFileSync(join(where.directory, "mosaic.bash"), "utf8"), "complete ")
      assert.include(readFileSync(join(where.directory, "decoded.txt"), "utf8"), grant)
    })
  )

  it.effect("docs/federation/audit.md: every command does what the page says", () =>
    Effect.gen(function* () {
      const where = yield* readerAtCa
      const scripts = blocksOf("docs/federation/audit.md").filter(({ info }) => /^sh\b/.test(info))
      assert.lengthOf(scripts, 4)
      const generated = "echo 0123456789abcdef0123456789abcdef >"
      for (const { content } of scripts) {
        const script = hasOpenssl ? content : content.replace("openssl rand -hex 24 >", generated)
        const ran = shell(where, script)
        assert.strictEqual(ran.status, 0, `${content}\n${ran.stdout}\n${ran.stderr}`)
      }
    })
  )

  it.effect("README.md: the four commands of the main job", () =>
    Effect.gen(function* () {
      const where = yield* readerAtCa
      const block = blocksOf("README.md").find(({ content }) =>
        content.includes("mosaic federation cert issue")
      )
      const [create = "", ...rest] = (block?.content ?? "").trim().split("\n")
      assert.lengthOf(rest, 3)
      const created = shell(where, create)
      assert.strictEqual(created.status, 0, created.stderr)
      const [, grant = ""] = /^grant +(\S+)$/m.exec(created.stdout) ?? []
      const ran = shell(where, rest.join("\n").replace("GRANT_ID", grant))
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.include(ran.stdout, "peer.crt: a valid grant certificate")
    })
  )

  it.effect("docs/cli.md: every document has the shape that the page shows", () =>
    Effect.gen(function* () {
      const { rootPath } = yield* StepCaProcess
      const where = yield* readerAtCa
      const grant = yield* createGrant(where, "--scope", "orders:read")
      const { pem } = yield* makeCsr("P-256")
      writeFileSync(join(where.directory, "request.csr"), pem)
      const issue = ["issue", "--grant", grant, "--csr", "request.csr", "--cert-out", "peer.crt"]
      const issued = yield* mosaic(where, ["federation", "cert", ...issue, "--json"])
      const { serial } = documentOf<{ readonly serial: string }>(issued.stdout)
      const elsewhere = yield* station()
      copyFileSync(join(where.directory, "peer.crt"), join(elsewhere.directory, "peer.crt"))
      const runs: ReadonlyArray<readonly [string, Station, ReadonlyArray<string>]> = [
        [
          "grant create",
          where,
          ["grant", "create", "--user", user, "--peer", "another.example", "--scope", "orders:read"]
        ],
        ["grant list", where, ["grant", "list", "--peer", "gateway.example"]],
        ["grant show", where, ["grant", "show", grant]],
        ["cert inspect", elsewhere, ["cert", "inspect", "peer.crt", "--root", rootPath]],
        ["cert verify", where, ["cert", "verify", "peer.crt", "--root", rootPath]],
        ["cert list", where, ["cert", "list"]],
        ["cert show", where, ["cert", "show", serial]],
        ["grant explain", where, ["grant", "explain", grant]],
        [
          "token create",
          where,
          ["token", "create", "--grant", grant, "--url", "https://gateway.example:8443"]
        ],
        ["token list", where, ["token", "list", "--grant", grant]],
        ["cert export", where, ["cert", "export", serial, "--cert-out", "again.crt"]],
        ["cert revoke", where, ["cert", "revoke", serial, "--reason", "the key was copied"]],
        [
          "federation revoke",
          where,
          ["revoke", "--peer", "gateway.example", "--reason", "the contract ended"]
        ],
        ["grant revoke", where, ["grant", "revoke", grant, "--reason", "the contract ended"]],
        ["errors", where, ["errors"]],
        ["error", where, ["grant", "show", "0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c"]]
      ]
      // Read where they are made: GatewayServe, Agent, ProvisionerRotate and Reconcile.test.ts.
      const seen = new Set(["cert issue", "gateway serve", "agent", "provisioner rotate", "reconcile"])
      assert.deepStrictEqual(shapeOf(documentOf(issued.stdout)), shapeOf(documentsIn.get("cert issue")))
      const fresh = yield* station()
      writeFileSync(join(fresh.directory, "mosaic.config.json"), '{"tier": "local"}')
      writeFileSync(join(where.directory, "local.json"), '{"tier": "local"}')
      const keyed = yield* station()
      const { id } = yield* makeKey(keyed, "admin")
      const { id: lost } = yield* makeKey(keyed, "read")
      const others: typeof runs = [
        ["config show", fresh, ["config", "show"]],
        ["db migrate", fresh, ["db", "migrate"]],
        ["db status", fresh, ["db", "status"]],
        ["db prune", where, ["db", "prune", "--dry-run"]],
        ["gateway doctor", where, ["gateway", "doctor", "--config", "local.json"]],
        ["audit verify", where, ["audit", "verify"]],
        ["audit tail", where, ["audit", "tail", "--limit", "1", "--grant", grant]],
        ["audit export", where, ["audit", "export"]],
        ["gateway key create", keyed, ["gateway", "key", "create", "--name", "bob", "--scope", "read"]],
        ["gateway key list", keyed, ["gateway", "key", "list"]],
        ["gateway key rotate", keyed, ["gateway", "key", "rotate", id]],
        ["gateway key revoke", keyed, ["gateway", "key", "revoke", lost]]
      ]
      const federation = runs.map(([name, at, args]) => [name, at, ["federation", ...args]] as const)
      for (const [name, at, args] of [...federation, ...others]) {
        const { stdout } = yield* mosaic(at, [...args, "--json"])
        assert.deepStrictEqual(shapeOf(documentOf(stdout)), shapeOf(documentsIn.get(name)), name)
        seen.add(name)
      }
      const { newGrant, newToken } = yield* grantor()
      const { where: peer } = yield* newcomer(yield* newToken(yield* newGrant()))
      for (const [name, args] of [
        ["enroll", ["enroll", "--token-file", "token", "--out", "peer"]],
        ["agent --status", ["agent", "--dir", "peer", "--status"]],
        ["whoami", ["whoami", "--dir", "peer"]]
      ] as const) {
        const { stdout } = yield* mosaic(peer, ["federation", ...args, "--json"])
        assert.deepStrictEqual(shapeOf(documentOf(stdout)), shapeOf(documentsIn.get(name)), name)
        seen.add(name)
      }
      assert.deepStrictEqual([...documentsIn.keys()].toSorted(), [...seen].toSorted())
    })
  )
})
