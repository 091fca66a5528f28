/** `mosaic federation reconcile`: what a restored backup undoes, of the records and of the CA, is found and stopped. */
import { spawnSync } from "node:child_process"
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { Effect } from "effect"
import {
  createGrant,
  documentOf,
  type ErrorDocument,
  mosaic,
  type Station,
  station
} from "./support/mosaic.ts"

const infra = fileURLToPath(new URL("../../../infra/step-ca", import.meta.url))

const cliPage = new URL("../../../docs/cli.md", import.meta.url)

interface ReconcileDocument extends Partial<ErrorDocument> {
  readonly atCa: number
  readonly unknown: number
  readonly undone: ReadonlyArray<{ readonly serial: string; readonly grantId: string; readonly peer: string }>
  readonly forgotten: ReadonlyArray<string>
  readonly applied: boolean
}

const reconcile = (where: Station, ...options: ReadonlyArray<string>) =>
  Effect.map(mosaic(where, ["federation", "reconcile", ...options, "--json"]), ({ code, stdout }) => ({
    code,
    ...documentOf<ReconcileDocument>(stdout)
  }))

/** With modes and owners, as a backup has them. */
const copy = (from: string, to: string) => assert.strictEqual(spawnSync("cp", ["-a", from, to]).status, 0)

const agreed = { undone: [], forgotten: [] }

const issue = Effect.fnUntraced(function* (where: Station, grant: string, name: string) {
  const files = ["--key-out", `${name}.key`, "--cert-out", `${name}.crt`]
  const { stdout } = yield* mosaic(where, [
    "federation",
    "cert",
    "issue",
    "--grant",
    grant,
    ...files,
    "--json"
  ])
  return documentOf<{ readonly serial: string }>(stdout).serial
})

const revoke = (where: Station, grant: string) =>
  Effect.map(mosaic(where, ["federation", "grant", "revoke", grant, "--json"]), ({ code }) =>
    assert.strictEqual(code, 0)
  )

const statusOf = (where: Station, grant: string) =>
  Effect.map(mosaic(where, ["federation", "grant", "show", grant, "--json"]), ({ stdout }) => {
    const { status } = documentOf<{ readonly status: string }>(stdout)
    return status
  })

it.live(
  "records that a backup brought back: the CA still knows what was revoked since, and those grants are suspended",
  () =>
    Effect.gen(function* () {
      const ca = yield* StepCaProcess.make()
      const where = yield* station(ca.environment)
      const home = where.environment["MOSAIC_HOME"] ?? ""
      const [kept, revoked] = [yield* createGrant(where), yield* createGrant(where)]
      yield* issue(where, kept, "kept")
      const serial = yield* issue(where, revoked, "revoked")
      assert.deepInclude(yield* reconcile(where), { code: 0, atCa: 0, applied: false, ...agreed })

      copy(home, `${home}-backup`)
      yield* revoke(where, revoked)
      assert.deepInclude(yield* reconcile(where), { code: 0, atCa: 1, unknown: 0, ...agreed })
      const later = yield* createGrant(where)
      yield* issue(where, later, "later")
      yield* revoke(where, later)

      rmSync(home, { recursive: true })
      copy(`${home}-backup`, home)
      assert.strictEqual(yield* statusOf(where, revoked), "active")
      const found = yield* reconcile(where)
      assert.deepInclude(found, { code: 7, atCa: 2, unknown: 1, forgotten: [], applied: false })
      assert.deepStrictEqual(found.undone, [{ serial, grantId: revoked, peer: "gateway.example" }])
      assert.strictEqual(found.error?.code, "RECORDS_DIFFER")
      assert.strictEqual(
        found.error?.message,
        "1 revocation(s) that the records have lost, 0 that the CA has lost"
      )
      assert.strictEqual(
        found.error?.remediation,
        "suspend those grants and revoke again: mosaic federation reconcile --apply"
      )
      assert.strictEqual(yield* statusOf(where, revoked), "active", "looking changes nothing")

      const { code, ...document } = yield* reconcile(where, "--apply")
      assert.deepInclude({ code, ...document }, { code: 0, applied: true })
      const [, shown = ""] = /^```json reconcile\n([^]*?)^```$/m.exec(readFileSync(cliPage, "utf8")) ?? []
      assert.deepStrictEqual(Object.keys(document), Object.keys(JSON.parse(shown) as object))
      assert.strictEqual(yield* statusOf(where, revoked), "suspended")
      assert.strictEqual(yield* statusOf(where, kept), "active")
      assert.deepInclude(yield* reconcile(where), { code: 0, unknown: 1, ...agreed })
      const people = yield* mosaic(where, ["federation", "reconcile"])
      assert.include(people.stdout, "Records and CA agree.")
    }),
  180_000
)

it.live(
  "a CA that a backup brought back: what the records have as revoked there is revoked again",
  () =>
    Effect.gen(function* () {
      const ca = yield* StepCaProcess.make()
      const where = yield* station(ca.environment)
      const grant = yield* createGrant(where)
      const serial = yield* issue(where, grant, "peer")
      const { jq } = yield* stepTools()
      const archive = join(where.directory, "ca.tar")
      const run = (script: string) => {
        const { status, stderr } = spawnSync("sh", [join(infra, script), archive], {
          encoding: "utf8",
          env: { PATH: process.env["PATH"] ?? "", STEPPATH: ca.stepPath, JQ_BIN: jq.path }
        })
        assert.strictEqual(status, 0, stderr)
      }
      yield* ca.stop
      run("backup.sh")
      yield* ca.start
      yield* revoke(where, grant)
      assert.deepInclude(yield* reconcile(where), { code: 0, atCa: 1, ...agreed })

      yield* ca.stop
      rmSync(ca.stepPath, { recursive: true })
      run("restore.sh")
      yield* ca.start
      const found = yield* reconcile(where)
      assert.deepInclude(found, { code: 7, atCa: 0, undone: [], forgotten: [serial] })
      assert.deepInclude(yield* reconcile(where, "--apply"), { code: 0, applied: true })
      assert.deepInclude(yield* reconcile(where), { code: 0, atCa: 1, ...agreed })
    }),
  180_000
)
