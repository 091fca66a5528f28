/** `mosaic audit` from the command line, and the gateway's part in it: it seals, signs, and is not let in where it could do more. */
import { randomBytes, randomUUID } from "node:crypto"
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { EmbeddedPostgres } from "@mosaic-federation/issuance/EmbeddedPostgres"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { federated } from "./support/federatedDatabase.ts"
import { clientOf, makeKey, startGateway } from "./support/gatewayProcess.ts"
import {
  createGrant,
  documentOf,
  type ErrorDocument,
  mosaic,
  type Station,
  station
} from "./support/mosaic.ts"

interface Verified {
  readonly height: number
  readonly hash: string
  readonly checked: number
  readonly unsealed: number
  readonly heads: { readonly held: number; readonly ofOtherKeys: number }
  readonly head: { readonly height: number; readonly signature: string }
}

interface Entry {
  readonly height: number
  readonly action: string
  readonly requester: string
  readonly grantId: string | null
}

const TestLayer = Layer.merge(
  StepCaProcess.layer(),
  Layer.unwrap(
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-audit-"))),
        removeDirectory
      ),
      EmbeddedPostgres.layerAt
    )
  )
)

const verify = Effect.fnUntraced(function* (where: Station, ...args: ReadonlyArray<string>) {
  const { code, stdout } = yield* mosaic(where, ["audit", "verify", ...args, "--json"])
  return { code, ...documentOf<Verified & Partial<ErrorDocument>>(stdout) }
})

/** Whoever seals has some time to do it. */
const sealed: (where: Station) => Effect.Effect<Verified & { readonly code: number | null }> =
  Effect.fnUntraced(function* (where) {
    const found = yield* verify(where)
    return found.unsealed === 0 ? found : yield* sealed(where)
  })

const actions = (stdout: string) =>
  documentOf<{ readonly entries: ReadonlyArray<Entry> }>(stdout).entries.map(({ action }) => action)

layer(TestLayer, { timeout: "120 seconds", excludeTestServices: true })("mosaic audit", (it) => {
  it.effect("shows, exports and proves what commands have decided, without a server", () =>
    Effect.gen(function* () {
      const where = yield* station()
      const grant = yield* createGrant(where)
      yield* mosaic(where, ["federation", "grant", "revoke", grant, "--reason", "over"])
      const tail = yield* mosaic(where, ["audit", "tail", "--grant", grant, "--json"])
      assert.deepStrictEqual(actions(tail.stdout), ["grant.create", "grant.revoke"])
      const [first] = documentOf<{ readonly entries: ReadonlyArray<Entry> }>(tail.stdout).entries
      assert.match(first?.requester ?? "", /^cli:./)
      const people = yield* mosaic(where, ["audit", "tail", "--limit", "1"])
      assert.match(people.stdout, /^HEIGHT +AT +WHO[^]*\n2 +\S+ +cli:\S+ +grant\.revoke +done +\S+ +over\n$/)
      const lines = (yield* mosaic(where, ["audit", "export"])).stdout.trim().split("\n")
      assert.deepStrictEqual(
        lines.map((line) => (JSON.parse(line) as Entry).height),
        [1, 2]
      )
      const since = yield* mosaic(where, ["audit", "export", "--after", "1", "--json"])
      assert.deepStrictEqual(actions(since.stdout), ["grant.revoke"])
      const verified = yield* mosaic(where, ["audit", "verify", "--json"])
      assert.deepInclude(documentOf<Verified>(verified.stdout), { height: 2, checked: 2, unsealed: 0 })
      writeFileSync(join(where.directory, "head.json"), verified.stdout)
      assert.deepInclude(yield* verify(where, "--head", "head.json"), {
        code: 0,
        heads: { held: 2, ofOtherKeys: 0 }
      })
      writeFileSync(join(where.directory, "head.json"), "{}")
      const unreadable = yield* verify(where, "--head", "head.json")
      assert.deepStrictEqual([unreadable.code, unreadable.error?.code], [2, "INPUT_UNREADABLE"])
    })
  )

  it.effect("the server is let in as mosaic_app alone, seals what commands write, and signs it", () =>
    Effect.gen(function* () {
      const { owner, plain, rootPath, urlOf, use, where } = yield* federated
      const refused = yield* mosaic(where, ["gateway", "serve", "--listen", "127.0.0.1:0", "--json"])
      assert.deepInclude(documentOf<ErrorDocument>(refused.stdout).error, {
        code: "AUDIT_UNPROTECTED",
        exitCode: 8,
        message: "the login mosaic is a superuser"
      })
      const password = randomBytes(24).toString("base64url")
      writeFileSync(join(where.directory, "app-password"), `${password}\n`, { mode: 0o600 })
      use(urlOf("mosaic_app", password))
      const asOwner = { MOSAIC_DATABASE_OWNER_URL: owner }
      const migrated = yield* mosaic(where, ["db", "migrate", "--app-password-file", "app-password"], asOwner)
      assert.deepStrictEqual([migrated.code, migrated.stderr], [0, ""])
      assert.include(migrated.stdout, "The role mosaic_app may log in, with its new password")

      const gateway = yield* startGateway(where)
      const { key } = yield* makeKey(where, "read")
      yield* createGrant(where)
      const before = yield* sealed(where)
      assert.deepStrictEqual([before.code, before.height], [0, 2])
      const operator = yield* clientOf(gateway.url, { rootPath, bearer: key })
      assert.deepInclude(yield* operator.audit.head(), { height: 2, hash: before.hash, unsealed: 0 })
      const { entries } = yield* operator.audit.list({ query: { after: 1 } })
      assert.deepStrictEqual(
        entries.map(({ action, height }) => [height, action]),
        [[2, "grant.create"]]
      )

      // A sealer that is killed leaves nothing that the next one does not finish.
      yield* createGrant(where)
      yield* gateway.end("SIGKILL")
      yield* createGrant(where)
      const next = yield* startGateway(where)
      assert.deepInclude(yield* sealed(where), { code: 0, height: 4, checked: 4 })
      const line = yield* next.logged(({ message }) => message === "audit head")
      writeFileSync(join(where.directory, "head.json"), JSON.stringify(line))
      assert.strictEqual((yield* verify(where, "--head", "head.json")).code, 0)
      yield* next.end("SIGTERM")
      const last = next.log().findLast(({ message }) => message === "audit head")
      assert.strictEqual(last?.["height"], 4)

      yield* SqlClient.use(
        (sql) => sql`UPDATE federation_audit SET requester = 'cli:nobody' WHERE id = 2`
      ).pipe(Effect.provide(plain))
      const broken = yield* verify(where)
      assert.deepStrictEqual(
        [broken.code, broken.error?.code, broken.error?.exitCode],
        [7, "AUDIT_CHAIN_BROKEN", 7]
      )
      assert.match(broken.error?.message ?? "", /^at height 2: record 2 does not match its hash/)
      assert.isFalse(readFileSync(join(where.directory, "head.json"), "utf8").includes(password))
    })
  )

  it.effect("is the same over the API, where the record is downloaded and proved anew", () =>
    Effect.gen(function* () {
      const { owner, plain, rootPath, urlOf, use, where: server } = yield* federated
      const password = "correct-horse-battery"
      const migrated = yield* mosaic(server, ["db", "migrate", "--app-password-file", "-"], {
        MOSAIC_DATABASE_OWNER_URL: owner,
        input: password
      })
      assert.strictEqual(migrated.code, 0, migrated.stderr)
      use(urlOf("mosaic_app", password))
      const { key } = yield* makeKey(server, "read")
      const grant = yield* createGrant(server)
      const gateway = yield* startGateway(server)
      const settings = { MOSAIC_GATEWAY_URL: gateway.url, MOSAIC_GATEWAY_ROOT: rootPath, MOSAIC_API_KEY: key }
      const operator = yield* station(settings)
      const query = (text: string) =>
        SqlClient.use((sql) => sql.unsafe(text)).pipe(Effect.provide(plain), Effect.orDie)
      // More than one page.
      yield* query(`INSERT INTO federation_audit (at, action, outcome, requester, request_id)
        SELECT date_trunc('milliseconds', now()), 'grant.suspend', 'done', 'cli:many', 'request ' || n FROM generate_series(1, 300) n`)
      const { height, stdout: head } = yield* Effect.gen(function* () {
        const found = yield* sealed(server)
        return { height: found.height, stdout: JSON.stringify(found) }
      })
      assert.strictEqual(height, 302)
      for (const { directory } of [server, operator]) {
        writeFileSync(join(directory, "head.json"), head)
        writeFileSync(join(directory, "forged.json"), head.replaceAll('"height":302', '"height":303'))
      }
      /** What both say, which is one thing but for when it was signed and how many heads there were by then. */
      const both = Effect.fnUntraced(function* (line: string) {
        const args = ["audit", ...line.split(" ")]
        const [here, there] = (yield* Effect.all([mosaic(server, args), mosaic(operator, args)])).map(
          ({ code, stderr, stdout }) => ({
            code,
            stderr,
            stdout: stdout
              .replace(
                /"head":\{"height":(\d+),"hash":"(\w+)","at":"[^"]+"/,
                '"head":{"height":$1,"hash":"$2"'
              )
              .replace(/"signature":"[^"]+"/, '"signature":""')
              .replace(/"held":\d+/, '"held":0')
              .replace(/against \d+ signed/, "")
          })
        )
        assert.deepStrictEqual(there, here, line)
        assert(there !== undefined)
        assert.notInclude(there.stdout, key)
        return there
      })
      const refused = Effect.fnUntraced(function* (line: string) {
        const { code, stdout } = yield* both(`${line} --json`)
        const { error } = documentOf<ErrorDocument>(stdout)
        return [code, error.code, error.message]
      })
      const tail = yield* both(`tail --grant ${grant} --json`)
      assert.deepStrictEqual(actions(tail.stdout), ["grant.create"])
      assert.lengthOf(actions((yield* both("tail --limit 270 --json")).stdout), 270)
      yield* both("tail --limit 3")
      assert.match((yield* both(`tail --grant ${randomUUID()}`)).stdout, /^Nothing is on the audit record/)
      assert.lengthOf((yield* both("export")).stdout.trim().split("\n"), 302)
      assert.include((yield* both("export --after 300 --json")).stdout, '"next":302')
      assert.match((yield* both("verify")).stdout, /^The audit record is intact: 302 entries/)
      const verified = documentOf<Verified>((yield* both("verify --head head.json --json")).stdout)
      assert.deepInclude(verified, { height: 302, checked: 302, unsealed: 0 })
      assert.isFalse(existsSync(operator.environment["MOSAIC_HOME"] ?? ""), "no key and no database was made")

      const forged = "the head that was given: the signature does not fit what it signs"
      assert.deepStrictEqual(yield* refused("verify --head forged.json"), [
        7,
        "AUDIT_SIGNATURE_INVALID",
        forged
      ])
      const strange = yield* mosaic(operator, ["audit", "verify", "--json"], {
        MOSAIC_AUDIT_TRUST: "0".repeat(64)
      })
      assert.strictEqual(strange.code, 7)
      assert.match(
        documentOf<ErrorDocument>(strange.stdout).error.message,
        /^the head that the gateway signs: it is signed by the key [0-9a-f]{64}, which is not trusted here$/
      )
      const changed = "at height 260: record 260 does not match its hash: it was changed, inserted or moved"
      for (const [change, back] of [
        ["requester = 'cli:nobody'", "requester = 'cli:many'"],
        ["at = at + interval '1 microsecond'", "at = at - interval '1 microsecond'"]
      ]) {
        yield* query(`UPDATE federation_audit SET ${change} WHERE id = 260`)
        assert.deepStrictEqual(yield* refused("verify"), [7, "AUDIT_CHAIN_BROKEN", changed])
        yield* query(`UPDATE federation_audit SET ${back} WHERE id = 260`)
      }
      yield* query("DELETE FROM federation_audit_chain WHERE height > 290")
      yield* query("DELETE FROM federation_audit WHERE id > 290")
      const { error } = documentOf<ErrorDocument>((yield* both("verify --head head.json --json")).stdout)
      const { code: name, exitCode: code, message, remediation: remedy } = error
      assert.deepStrictEqual(
        [code, name, remedy],
        [
          7,
          "AUDIT_TAIL_MISSING",
          "keep the database as it is and find who could write to it; mosaic audit export shows what it says now, a backup what it said: docs/federation/audit.md"
        ]
      )
      assert.match(message, /^the chain ends at height 290, and a head signed at .* has height 302$/)
      yield* query("DELETE FROM federation_audit WHERE id = 260")
      const removed = "at height 260: record 260 was removed"
      assert.deepStrictEqual(yield* refused("verify"), [7, "AUDIT_CHAIN_BROKEN", removed])
    })
  )
})
