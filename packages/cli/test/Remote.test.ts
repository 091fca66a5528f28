/**
 * The operator's commands, each run twice by real processes: where the database is, and over the API of a real gateway
 * from a machine that has nothing but its URL, its root and a key. Documents, texts and exit codes are the same.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { freePort } from "@mosaic-federation/testing/freePort"
import { makeTlsServer, silence } from "@mosaic-federation/testing/HostileServer"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { expired, makeRoot, makeServerIdentity } from "@mosaic-federation/testing/TestPki"
import { Effect } from "effect"
import { makeKey, startGateway } from "./support/gatewayProcess.ts"
import {
  documentOf,
  type ErrorDocument,
  type Extra,
  finish,
  mosaic,
  type Ran,
  start,
  type Station,
  station,
  user
} from "./support/mosaic.ts"

const grantId = "0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c"
const otherId = "9f8c2a1e-5b7d-4c3f-8a60-1d2e3f405162"
const stranger = "3c1d7e52-90ab-4f6e-8d21-7b6a5c4d3e2f"
const keySha256 = "5e1f0a77c2b94d3e8a6f51d20c7b9e4f3d8a2c6b1e0f97d5a4c3b2e1f0d9c8b7"

const withSettings = (
  { directory, environment }: Station,
  settings: Readonly<Record<string, string>>
): Station => ({ directory, environment: { ...environment, ...settings } })

/** A gateway, and a machine of an operator beside it. */
const gatewayAndOperator = Effect.fnUntraced(function* (scope: "read" | "issue" | "admin") {
  const { environment, rootPath } = yield* StepCaProcess
  const server = yield* station(environment)
  const { id, key } = yield* makeKey(server, scope)
  const gateway = yield* startGateway(server)
  const operator = yield* station({ MOSAIC_GATEWAY_URL: gateway.url, MOSAIC_GATEWAY_ROOT: rootPath })
  const keyFile = join(operator.environment["HOME"] ?? "", "api.key")
  writeFileSync(keyFile, `${key}\n`, { mode: 0o600 })
  const withKey = (given: string) => withSettings(operator, { MOSAIC_API_KEY: given })
  return {
    server,
    gateway,
    rootPath,
    key,
    keyId: id,
    withKey,
    operator: withSettings(operator, { MOSAIC_API_KEY_FILE: keyFile })
  }
})

/** What differs from run to run, by its kind. */
const varying: ReadonlyArray<readonly [RegExp, string]> = [
  [/mosaic_enroll_1_[A-Za-z0-9_-]+/g, "<token>"],
  [/-----BEGIN CERTIFICATE-----(?:\\n|[A-Za-z0-9+/=-]| CERTIFICATE)*/g, "<pem>"],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/g, "<time>"],
  [/\b\d+ (?:d|h|min|s)\b(?: \d+ (?:h|min|s)\b)? left/g, "<left>"],
  [/\b(?:\d+h)?(?:\d+m)?(?:\d+s)? left/g, "<left>"],
  [/"secondsLeft":\d+/g, '"secondsLeft":0'],
  [/\b[0-9a-f]{64}\b/g, "<sha256>"],
  [/\b\d{19,39}\b/g, "<serial>"],
  [/"(createdBy|requester)":"(?:cli:[\w.-]+|api-key:[0-9a-f]{16})"/g, '"$1":"<requester>"'],
  [/ +(?:cli:[\w.-]+|api-key:[0-9a-f]{16}),? */g, " <requester> "],
  [/("requestId":"|request )[0-9a-f-]{36}/g, "$1<request>"],
  [/("jti":"|jti +)[A-Za-z0-9_-]{43}/g, "$1<jti>"]
]

const normal = (text: string, ids: ReadonlyArray<string>): string =>
  ids
    .reduce(
      (found, id) => found.replaceAll(id, "<id>"),
      varying.reduce((found, [form, name]) => found.replace(form, name), text)
    )
    .replaceAll(/ +/g, " ")

interface Step {
  readonly args: ReadonlyArray<string>
  readonly code: number
  /** In the answer to this step. */
  readonly says?: RegExp
}

const federation = (line: string, code = 0, says?: RegExp): Step => ({
  args: line.replaceAll("GRANT", grantId).replaceAll("OTHER", otherId).split(" "),
  code,
  ...(says === undefined ? {} : { says })
})

/** SERIAL and TOKEN are of the certificate and the token that the steps before have made. */
const steps: ReadonlyArray<Step> = [
  federation(`grant create --id GRANT --user ${user} --peer gateway.example --scope orders:read --json`),
  federation(
    `grant create --id GRANT --user ${user} --peer gateway.example --json`,
    3,
    /"GRANT_ALREADY_EXISTS"/
  ),
  federation(`grant create --id OTHER --user ${user} --peer other.example --expires-in 12h`),
  federation("grant create --peer p", 2),
  federation("grant list --json", 0, /"next":null/),
  federation("grant list", 0, /^GRANT +STATUS +PEER/),
  federation("grant list --limit 1 --json", 0, new RegExp(`"next":"${otherId}"`)),
  federation(`grant list --limit 1 --before OTHER --json`, 0, new RegExp(`"id":"${grantId}"`)),
  federation("grant list --expiring 24h --json", 0, new RegExp(`^{"grants":\\[{"id":"${otherId}"[^{]*$`)),
  federation("grant list --peer other.example --status active --json", 0, new RegExp(`"id":"${otherId}"`)),
  federation(`grant list --user ${stranger}`, 0, /^No grant matches/),
  federation("grant show GRANT"),
  federation("grant show GRANT --json"),
  federation(`grant show ${stranger}`, 3),
  federation(`grant show ${stranger} --json`, 3, /"GRANT_NOT_FOUND"/),
  federation("grant explain GRANT", 0, /may issue now, for 24h at the longest/),
  federation("grant explain GRANT --json", 0, /"mayIssue":true/),
  federation("grant suspend GRANT", 0, /is suspended/),
  federation("cert issue --grant GRANT --csr request.csr --cert-out peer.crt --json", 3, /"GRANT_SUSPENDED"/),
  federation("grant explain GRANT", 0, /may not issue now: GRANT_SUSPENDED/),
  federation("grant resume GRANT --json", 0, /"status":"active"/),
  federation("grant change GRANT --expires-in 20d --json", 0),
  federation("grant change GRANT --expires-in 40d", 0),
  federation("grant change GRANT --expires-at 2020-01-01T00:00:00Z --json", 2, /lies in the past/),
  federation("grant change GRANT", 2),
  federation("token create --grant GRANT --json", 0, /"token":"mosaic_enroll_1_/),
  federation(`token create --grant GRANT --out peer.token --lifetime 24h --key-sha256 ${keySha256} --json`),
  federation("token create --grant GRANT --out peer.token --json", 2, /"OUTPUT_EXISTS"/),
  federation("token create --grant GRANT --lifetime 8d --json", 2, /"REQUEST_INVALID"/),
  federation(`token create --grant ${stranger} --json`, 3, /"GRANT_NOT_FOUND"/),
  federation("token list --grant GRANT --json", 0, /"status":"open"/),
  federation("token revoke TOKEN --json", 0, /"status":"revoked"/),
  federation("token revoke TOKEN", 0, /is revoked: it brings no certificate/),
  federation("token list --grant GRANT", 0, /revoked/),
  federation(`token revoke ${stranger} --json`, 3, /"ENROLLMENT_TOKEN_NOT_FOUND"/),
  federation(
    "cert issue --grant GRANT --csr request.csr --cert-out peer.crt --json",
    0,
    /"peer":"gateway.example"/
  ),
  federation("cert issue --grant GRANT --csr request.csr --cert-out peer.crt --json", 2, /"OUTPUT_EXISTS"/),
  federation(
    `cert issue --grant GRANT --user ${stranger} --csr request.csr --cert-out no.crt --json`,
    3,
    /"GRANT_SUBJECT_MISMATCH"/
  ),
  federation("cert issue --grant GRANT --csr broken.csr --cert-out no.crt --json", 3, /"CSR_MALFORMED"/),
  federation(
    "cert issue --grant GRANT --csr request.csr --cert-out no.crt --lifetime 48h --json",
    3,
    /"LIFETIME_TOO_LONG"/
  ),
  federation(
    "cert issue --grant GRANT --key-out own.key --cert-out own.crt --lifetime 1h",
    0,
    /own.key \(mode 0600\)/
  ),
  federation("cert list --grant GRANT --json", 0, /"state":"issued"/),
  federation(`cert list --peer gateway.example --user ${user} --expiring 2h`, 0, /^SERIAL[^\n]*\n[^\n]*\n$/),
  federation("cert list --state ambiguous", 0, /^No such certificate is on record/),
  federation("cert show SERIAL", 0, /asked by     (cli|api-key):[^ ]+, request [0-9a-f-]{36}$/m),
  federation("cert show SERIAL", 0, /jti +[A-Za-z0-9_-]{43}\n\nTo a file: mosaic federation cert export/),
  federation("cert show SERIAL --json", 0, /"fullChain":"-----BEGIN/),
  federation("cert show 1234567890123456789 --json", 3, /"CERTIFICATE_NOT_FOUND"/),
  federation("cert export SERIAL --cert-out again.crt --json"),
  federation("cert inspect peer.crt", 0, /peer +gateway.example, whose grant is active now/),
  federation("cert inspect peer.crt --json", 0, /"record":{"serial"/),
  federation(
    "cert revoke SERIAL --reason copied --json",
    0,
    /"caRevocations":{"done":1,"open":0,"because":null}/
  ),
  federation("cert revoke SERIAL", 0, /is revoked at the CA since/),
  federation("cert revoke 1234567890123456789", 3),
  federation("revoke --peer other.example --dry-run", 0, /^1 grant would end/),
  federation("revoke --peer other.example --json", 0, /"dryRun":false/),
  federation("revoke --peer other.example", 0, /^There is no grant of this holder/),
  federation(`revoke --peer other.example --user ${user} --json`, 2),
  federation("revoke", 2),
  federation("grant revoke GRANT --reason over --json", 0, /"liveCertificates":2/),
  federation("grant revoke GRANT --reason again", 0, /was revoked before, at .*: over\n/),
  federation("cert issue --grant GRANT --csr request.csr --cert-out late.crt", 3),
  federation("grant resume GRANT --json", 3, /"GRANT_REVOKED"/),
  federation("grant change GRANT --expires-in 1d --json", 3, /"GRANT_REVOKED"/)
]

interface Told extends Ran {
  readonly ids: ReadonlyArray<string>
}

/** Runs the steps, and hands the ids that they make on to later ones. */
const play = Effect.fnUntraced(function* (where: Station) {
  const told: Array<Told> = []
  let [serial, token] = ["SERIAL", "TOKEN"]
  const ids: Array<string> = []
  for (const { args } of steps) {
    const given = args.map((word) => word.replace("SERIAL", serial).replace("TOKEN", token))
    const ran = yield* mosaic(where, ["federation", ...given])
    const [noun, verb] = args
    if (noun === "token" && verb === "create" && ran.code === 0) {
      token = documentOf<{ readonly id: string }>(ran.stdout).id
      ids.push(token)
    }
    if (noun === "cert" && verb === "issue" && ran.code === 0 && args.includes("--json"))
      serial = documentOf<{ readonly serial: string }>(ran.stdout).serial
    told.push({ ...ran, ids: [...ids] })
  }
  return told
})

const files = (where: Station, csrPem: string) => {
  writeFileSync(join(where.directory, "request.csr"), csrPem)
  writeFileSync(join(where.directory, "broken.csr"), "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n")
}

const refusal = (ran: Ran, code: string, exit: number) => {
  const { error } = documentOf<ErrorDocument>(ran.stdout)
  assert.deepStrictEqual([error.code, error.exitCode, ran.code], [code, exit, exit], error.message)
  return error
}

layer(StepCaProcess.layer(), { excludeTestServices: true })("the operator's commands", (it) => {
  it.effect(
    "are the same where the database is and over the API",
    () =>
      Effect.gen(function* () {
        const { environment, rootPath } = yield* StepCaProcess
        const { key, operator } = yield* gatewayAndOperator("admin")
        const here = yield* station({ ...environment, MOSAIC_PUBLIC_URL: "https://gateway.example:8443" })
        const there = withSettings(operator, { STEP_CA_ROOT_CERT_PATH: rootPath, MOSAIC_GATEWAY_ROOT: "" })
        const { pem } = yield* makeCsr("P-256")
        files(here, pem)
        files(there, pem)
        const [local, remote] = yield* Effect.all([play(here), play(there)], { concurrency: 2 })
        const differences: Array<string> = []
        for (const [index, step] of steps.entries()) {
          const [one, other] = [local[index], remote[index]]
          assert(one !== undefined && other !== undefined)
          const name = step.args.join(" ")
          assert.notInclude(other.stdout + other.stderr, key)
          if (one.code !== step.code || other.code !== step.code)
            differences.push(`${name}: ${one.code} ${one.stderr} and ${other.code} ${other.stderr}`)
          if (step.says?.test(other.stdout) === false) differences.push(`${name}: ${other.stdout}`)
          const [here, there] = [one, other].map((ran) => normal(ran.stdout + ran.stderr, ran.ids))
          if (here !== there) differences.push(`${name}: ${here} and ${there}`)
        }
        assert.deepStrictEqual(differences, [])
        assert.isFalse(existsSync(there.environment["MOSAIC_HOME"] ?? ""), "no database was made")
        for (const { directory } of [here, there]) {
          const token = readFileSync(join(directory, "peer.token"), "utf8")
          assert.match(token, /^mosaic_enroll_1_[A-Za-z0-9_-]+\n$/)
          assert.strictEqual(statSync(join(directory, "peer.token")).mode & 0o777, 0o600)
          assert.strictEqual(
            readFileSync(join(directory, "again.crt"), "utf8"),
            readFileSync(join(directory, "peer.crt"), "utf8")
          )
          const verify = ["federation", "cert", "verify", "peer.crt", "--root", rootPath]
          assert.strictEqual((yield* mosaic({ ...there, directory }, verify)).code, 0)
        }
      }),
    600_000
  )

  it.effect(
    "are refused for what the key is, with the gateway's own errors",
    () =>
      Effect.gen(function* () {
        const { key, keyId, operator, server, withKey } = yield* gatewayAndOperator("issue")
        const list = ["federation", "grant", "list", "--json"]
        assert.strictEqual((yield* mosaic(operator, list)).code, 0)
        const unknown = yield* mosaic(withKey(`${key.slice(0, -1)}${key.endsWith("A") ? "B" : "A"}`), list)
        assert.include(refusal(unknown, "API_KEY_UNKNOWN", 3).remediation, "of the same gateway")
        assert.notInclude(unknown.stdout, key.slice(0, -1))

        const { key: reading } = yield* makeKey(server, "read")
        const create = [
          "federation",
          "grant",
          "create",
          "--user",
          user,
          "--peer",
          "p",
          "--id",
          grantId,
          "--json"
        ]
        const small = refusal(yield* mosaic(withKey(reading), create), "SCOPE_INSUFFICIENT", 3)
        assert.strictEqual(small.message, "POST /v1/grants needs the scope issue, this is read")
        assert.strictEqual((yield* mosaic(operator, create)).code, 0)
        const change = ["federation", "grant", "change", grantId, "--json", "--expires-in"]
        assert.strictEqual((yield* mosaic(operator, [...change, "10d"])).code, 0)
        const later = refusal(yield* mosaic(operator, [...change, "60d"]), "SCOPE_INSUFFICIENT", 3)
        assert.strictEqual(later.message, "a later end of a grant needs the scope admin, this is issue")
        assert.strictEqual((yield* mosaic(server, [...change, "60d"])).code, 0, "who owns the database may")
        const all = ["federation", "revoke", "--peer", "p", "--json"]
        refusal(yield* mosaic(operator, all), "SCOPE_INSUFFICIENT", 3)

        const short = yield* makeKey(server, "read", "--expires-in", "1s")
        const asked = mosaic(withKey(short.key), list)
        let ran = yield* asked
        for (const until = Date.now() + 30_000; ran.code === 0 && Date.now() < until;) ran = yield* asked
        refusal(ran, "API_KEY_EXPIRED", 3)
        assert.strictEqual((yield* mosaic(server, ["gateway", "key", "revoke", keyId])).code, 0)
        refusal(yield* mosaic(operator, list), "API_KEY_REVOKED", 3)
      }),
    300_000
  )

  it.effect(
    "say what is wrong with the way to the gateway",
    () =>
      Effect.gen(function* () {
        const { gateway, key, operator, rootPath } = yield* gatewayAndOperator("admin")
        const at = (extra: Extra, ...args: ReadonlyArray<string>) =>
          mosaic(operator, ["federation", "grant", "list", "--json", ...args], extra)
        const port = yield* freePort
        const down = refusal(
          yield* at({}, "--gateway", `https://localhost:${port}`),
          "GATEWAY_UNREACHABLE",
          5
        )
        assert.strictEqual(down.message, `no answer from https://localhost:${port} (ECONNREFUSED)`)
        const nowhere = yield* at({}, "--gateway", "https://gateway.invalid")
        assert.match(refusal(nowhere, "GATEWAY_UNREACHABLE", 5).message, /\((?:ENOTFOUND|EAI_AGAIN)\)$/)

        const other = yield* makeRoot("another")
        writeFileSync(join(operator.directory, "another.crt"), other.pem)
        const untrusted = refusal(yield* at({}, "--gateway-root", "another.crt"), "GATEWAY_UNTRUSTED", 5)
        assert.include(untrusted.remediation, "--gateway-root or MOSAIC_GATEWAY_ROOT")
        assert.strictEqual(
          (yield* at({ MOSAIC_GATEWAY_ROOT: "another.crt" }, "--gateway-root", rootPath)).code,
          0
        )

        const leaf = yield* makeServerIdentity(other, { names: ["localhost"] })
        writeFileSync(join(operator.directory, "leaf.crt"), leaf.cert)
        writeFileSync(join(operator.directory, "old.crt"), (yield* makeRoot("old", expired())).pem)
        const settings: ReadonlyArray<readonly [Extra, ReadonlyArray<string>, string, RegExp]> = [
          [
            { MOSAIC_API_KEY_FILE: undefined },
            [],
            "CONFIG_MISSING",
            /^neither MOSAIC_API_KEY nor MOSAIC_API_KEY_FILE is set$/
          ],
          [
            { MOSAIC_API_KEY: "a key" },
            [],
            "CONFIG_CONFLICT",
            /^MOSAIC_API_KEY and MOSAIC_API_KEY_FILE are both set$/
          ],
          [
            { MOSAIC_API_KEY_FILE: undefined, MOSAIC_API_KEY: `${key}\nX-Evil: 1` },
            [],
            "CONFIG_INVALID",
            /^MOSAIC_API_KEY: it holds a space, a line break/
          ],
          [{ MOSAIC_GATEWAY_ROOT: undefined }, [], "CONFIG_MISSING", /^neither MOSAIC_GATEWAY_ROOT nor /],
          [
            { MOSAIC_GATEWAY_ROOT: "leaf.crt" },
            [],
            "ROOT_CERTIFICATE_REFUSED",
            /^MOSAIC_GATEWAY_ROOT: leaf\.crt: CN=server is not self-signed: it is no root/
          ],
          [
            { MOSAIC_GATEWAY_ROOT: undefined, STEP_CA_ROOT_CERT_PATH: "leaf.crt" },
            [],
            "ROOT_CERTIFICATE_REFUSED",
            /^STEP_CA_ROOT_CERT_PATH: leaf\.crt: CN=server is not self-signed: it is no root/
          ],
          [
            { MOSAIC_GATEWAY_ROOT: "old.crt" },
            [],
            "ROOT_CERTIFICATE_EXPIRED",
            /^MOSAIC_GATEWAY_ROOT: old\.crt: CN=old expired at /
          ],
          [
            {},
            ["--gateway-root", "leaf.crt"],
            "ROOT_CERTIFICATE_REFUSED",
            /^--gateway-root: leaf\.crt: CN=server is not self-signed: it is no root/
          ],
          [
            {},
            ["--gateway", gateway.url.replace("https", "http")],
            "CONFIG_INVALID",
            /^--gateway: the scheme is http, only https/
          ],
          [{}, ["--gateway", `${gateway.url}/v1`], "CONFIG_INVALID", /^--gateway: it has a path/],
          [{}, ["--gateway", "gateway.example"], "CONFIG_INVALID", /^--gateway: it is not a URL/],
          [
            { MOSAIC_GATEWAY_URL: "https://me:pw@localhost" },
            [],
            "CONFIG_INVALID",
            /^MOSAIC_GATEWAY_URL: it holds a user name/
          ]
        ]
        for (const [extra, args, code, message] of settings) {
          const ran = yield* at(extra, ...args)
          assert.match(refusal(ran, code, 8).message, message)
          assert.notInclude(ran.stdout + ran.stderr, key)
        }
        const key2 = yield* at({}, "--api-key", key)
        refusal(key2, "USAGE_INVALID", 2)
        const elsewhere = yield* mosaic(operator, [
          "gateway",
          "key",
          "list",
          "--gateway",
          gateway.url,
          "--json"
        ])
        refusal(elsewhere, "USAGE_INVALID", 2)
        const twice = ["federation", "token", "create", "--grant", grantId, "--url", gateway.url, "--json"]
        refusal(yield* mosaic(operator, twice), "USAGE_INVALID", 2)
      }),
    300_000
  )

  it.effect("keep the key out of the list of processes", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot("root")
      const server = yield* makeTlsServer(yield* makeServerIdentity(root, { names: ["localhost"] }), silence)
      const where = yield* station()
      writeFileSync(join(where.directory, "root.crt"), root.pem)
      const key = "mosaic_key_1_0123456789abcdef_a-key-that-nobody-may-see"
      const args = ["--gateway", `https://localhost:${server.port}`, "--gateway-root", "root.crt"]
      const child = start(where, ["federation", "grant", "list", ...args], { MOSAIC_API_KEY: key })
      yield* server.until(({ requests }) => requests.length > 0)
      assert.strictEqual(server.requests[0]?.headers.authorization, `Bearer ${key}`)
      assert.notInclude(readFileSync(`/proc/${String(child.pid)}/cmdline`, "utf8"), key)
      child.kill("SIGTERM")
      const { stderr, stdout } = yield* Effect.promise(() => finish(child))
      assert.notInclude(stdout + stderr, key)
    })
  )
})
