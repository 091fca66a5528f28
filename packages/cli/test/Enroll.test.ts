/** `mosaic federation enroll` as a peer meets it: real gateways, and gateways that lie. */
import { spawnSync } from "node:child_process"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { formatEnrollmentToken } from "@mosaic-federation/domain/EnrollmentToken"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { freePort } from "@mosaic-federation/testing/freePort"
import { hangUp, makeTlsServer, silence, text } from "@mosaic-federation/testing/HostileServer"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { type Authority, makeRoot, makeServerIdentity } from "@mosaic-federation/testing/TestPki"
import { Effect, Redacted } from "effect"
import { clientOf } from "./support/gatewayProcess.ts"
import {
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
import { grantor, grantorBehindProxy, heldIn, newcomer } from "./support/peers.ts"

interface EnrolledDocument {
  readonly gateway: string
  readonly grantId: string
  readonly serial: string
  readonly files: { readonly key: string | null; readonly certificate: string; readonly root: string }
}

const enroll = (where: Station, args: ReadonlyArray<string>, extra: { readonly input?: string } = {}) =>
  mosaic(where, ["federation", "enroll", "--json", ...args], extra)

const enrolled = ({ code, stderr, stdout }: Ran) => {
  assert.strictEqual(code, 0, stdout + stderr)
  return documentOf<EnrolledDocument>(stdout)
}

const refusal = ({ code, stdout }: Ran) => {
  const { error } = documentOf<ErrorDocument>(stdout)
  assert.strictEqual(code, error.exitCode)
  return error
}

/** In a name space of its own, where the machine lets this user have one. */
const canMount = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

const fingerprintOf = (pem: string) =>
  new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase()

const pemType = { "content-type": "application/pem-certificate-chain" }

const secret = "a-secret-that-is-only-for-the-one-gateway42"

/** For a gateway that is known by these roots. */
const tokenFor = (port: number, ...roots: ReadonlyArray<Authority>) =>
  Redacted.value(
    formatEnrollmentToken({
      url: `https://localhost:${port}`,
      roots: roots.map(({ pem }) => fingerprintOf(pem)),
      secret
    })
  )

layer(StepCaProcess.layer(), { excludeTestServices: true })("mosaic federation enroll", (it) => {
  it.effect("one token, one command: key, certificate, chain and root, good for whoami", () =>
    Effect.gen(function* () {
      const { ca, gateway, newGrant, newToken } = yield* grantor()
      const grant = yield* newGrant()
      const { dir, file, where } = yield* newcomer(yield* newToken(grant))
      const ran = yield* enroll(where, ["--token-file", file, "--out", "peer"])
      const document = enrolled(ran)
      assert.strictEqual(document.grantId, grant)
      assert.deepStrictEqual(readdirSync(dir).toSorted(), [
        "chain.crt",
        "current",
        "peer.crt",
        "peer.key",
        "root.crt",
        "versions"
      ])
      assert.strictEqual(modeOf(dir), "700")
      assert.strictEqual(modeOf(join(dir, "peer.key")), "600")
      assert.strictEqual(modeOf(join(dir, "peer.crt")), "644")
      assert.strictEqual(readFileSync(join(dir, "root.crt"), "utf8").trim(), ca.rootPem.trim())
      const { cert, certificate, key, serial } = heldIn(dir)
      assert.strictEqual(serial, document.serial)
      assert.isTrue(certificate.checkPrivateKey(createPrivateKey(key)))
      assert.include(cert, readFileSync(join(dir, "chain.crt"), "utf8"))
      const peer = yield* clientOf(gateway.url, {
        rootPath: join(dir, "root.crt"),
        certificate: { cert, key }
      })
      assert.strictEqual((yield* peer.identity.whoami()).grantId, grant)
      const inspected = yield* mosaic(where, [
        "federation",
        "cert",
        "verify",
        "peer/peer.crt",
        "--root",
        "peer/root.crt"
      ])
      assert.strictEqual(inspected.code, 0, inspected.stderr)
      assert.notInclude(ran.stdout + ran.stderr, "mosaic_enroll_1_")
      assert.notInclude(JSON.stringify(gateway.log()), "mosaic_enroll_1_")
    })
  )

  it.effect("takes the token from a setting or standard input, and makes each kind of key", () =>
    Effect.gen(function* () {
      const { newGrant, newToken } = yield* grantor()
      const grant = yield* newGrant()
      const { where } = yield* newcomer("unused")
      const expected = { p384: "ec", ed25519: "ed25519", rsa3072: "rsa" }
      for (const [type, asymmetricKeyType] of Object.entries(expected)) {
        const token = yield* newToken(grant)
        const args = ["--out", type, "--key-type", type]
        const ran =
          type === "p384"
            ? yield* mosaic(where, ["federation", "enroll", "--json", ...args], {
                MOSAIC_ENROLL_TOKEN: token
              })
            : yield* enroll(where, args, { input: `${token}\n` })
        enrolled(ran)
        const { key } = heldIn(join(where.directory, type))
        assert.strictEqual(createPrivateKey(key).asymmetricKeyType, asymmetricKeyType)
      }
      const text = yield* mosaic(where, ["federation", "enroll", "--out", "plain"], {
        MOSAIC_ENROLL_TOKEN: yield* newToken(grant)
      })
      assert.include(text.stdout, "Next, to keep it renewed: mosaic federation agent --dir plain")
    })
  )

  it.effect("writes what belongs to a key that is held elsewhere", () =>
    Effect.gen(function* () {
      const { newGrant, newToken } = yield* grantor()
      const { dir, file, where } = yield* newcomer(yield* newToken(yield* newGrant()))
      const csr = yield* makeCsr("Ed25519")
      writeFileSync(join(where.directory, "request.csr"), csr.pem)
      const args = ["--token-file", file, "--out", "peer", "--csr", "request.csr"]
      const document = enrolled(yield* enroll(where, args))
      assert.isNull(document.files.key)
      assert.isFalse(existsSync(join(dir, "peer.key")))
      const certificate = new X509Certificate(readFileSync(join(dir, "peer.crt")))
      assert.isTrue(certificate.checkPrivateKey(createPrivateKey(csr.privateKeyPem)))
      const agent = yield* mosaic(where, ["federation", "agent", "--dir", "peer", "--json"])
      const error = refusal(agent)
      assert.strictEqual(error.code, "PEER_DIRECTORY_UNUSABLE")
      assert.include(error.message, "the key of its certificate is held elsewhere")
      const both = yield* enroll(where, [...args, "--key-type", "p256"])
      assert.deepStrictEqual([both.code, refusal(both).code], [2, "USAGE_INVALID"])
    })
  )

  it.effect("overwrites nothing, and says of a used token when, from where and by which request", () =>
    Effect.gen(function* () {
      const { gateway, newGrant, newToken } = yield* grantor()
      const { dir, file, where } = yield* newcomer(yield* newToken(yield* newGrant()))
      const first = enrolled(yield* enroll(where, ["--token-file", file, "--out", "peer"]))
      const exists = refusal(yield* enroll(where, ["--token-file", file, "--out", "peer"]))
      assert.strictEqual(exists.code, "OUTPUT_EXISTS")
      assert.include(exists.remediation, "add --force to replace it")
      const used = yield* enroll(where, ["--token-file", file, "--out", "other"])
      const error = refusal(used)
      assert.deepStrictEqual([used.code, error.code], [3, "ENROLLMENT_TOKEN_USED"])
      const line = yield* gateway.logged(({ route, status }) => route === "/v1/enroll" && status === 201)
      assert.match(
        error.message,
        new RegExp(
          `was used at \\S+Z from 127\\.0\\.0\\.1 by request ${String(line["requestId"])} for certificate ${first.serial}`
        )
      )
      assert.strictEqual(heldIn(dir).serial, first.serial)
      assert.isFalse(existsSync(join(where.directory, "other", "peer.crt")))

      mkdirSync(join(where.directory, "mine"))
      writeFileSync(join(where.directory, "mine", "peer.key"), "mine")
      const mine = refusal(yield* enroll(where, ["--token-file", file, "--out", "mine"]))
      assert.strictEqual(mine.code, "OUTPUT_EXISTS")
      assert.strictEqual(readFileSync(join(where.directory, "mine", "peer.key"), "utf8"), "mine")
    })
  )

  it.effect("--force puts a new enrollment in the place of the old, whole", () =>
    Effect.gen(function* () {
      const { newGrant, newToken } = yield* grantor()
      const grant = yield* newGrant()
      const { dir, file, where } = yield* newcomer(yield* newToken(grant))
      const first = enrolled(yield* enroll(where, ["--token-file", file, "--out", "peer"]))
      writeFileSync(file, yield* newToken(grant))
      const second = enrolled(yield* enroll(where, ["--token-file", file, "--out", "peer", "--force"]))
      assert.notStrictEqual(second.serial, first.serial)
      const { certificate, key, serial } = heldIn(dir)
      assert.strictEqual(serial, second.serial)
      assert.isTrue(certificate.checkPrivateKey(createPrivateKey(key)))
    })
  )

  it.effect("an answer that is lost costs nothing: the repeat gets the same certificate", () =>
    Effect.gen(function* () {
      const { newGrant, newToken, operator, proxy } = yield* grantorBehindProxy()
      const grant = yield* newGrant()
      const { dir, file, where } = yield* newcomer(yield* newToken(grant))
      proxy.decide(({ path }) => (path === "/v1/enroll" ? "lose answer" : "pass"))
      const lost = refusal(yield* enroll(where, ["--token-file", file, "--out", "peer"]))
      assert.strictEqual(lost.code, "GATEWAY_ANSWER_LOST")
      assert.deepStrictEqual(readdirSync(dir), ["pending"])
      const key = readFileSync(join(dir, "pending", "peer.key"), "utf8")
      proxy.decide(() => "pass")
      const other = yield* enroll(where, ["--token-file", file, "--out", "peer", "--key-type", "ed25519"])
      assert.include(refusal(other).message, "holds a key of p256, whose certificate may have been issued")
      const document = enrolled(yield* enroll(where, ["--token-file", file, "--out", "peer"]))
      assert.strictEqual(heldIn(dir).key, key)
      assert.isFalse(existsSync(join(dir, "pending")))
      const { certificates } = yield* operator.certificates.list({ query: { grant } })
      assert.deepStrictEqual(
        certificates.map(({ serial }) => serial),
        [document.serial]
      )
    })
  )

  it.effect(
    "killed while the gateway issues, it goes on with the same key and gets the same certificate",
    () =>
      Effect.gen(function* () {
        const { newGrant, newToken, operator, proxy } = yield* grantorBehindProxy()
        const grant = yield* newGrant()
        const { dir, file, where } = yield* newcomer(yield* newToken(grant))
        for (const fate of ["hold request", "hold answer"] as const) {
          proxy.decide(({ path }) => (path === "/v1/enroll" ? fate : "pass"))
          const child = start(where, ["federation", "enroll", "--token-file", file, "--out", "peer"])
          const ended = finish(child)
          yield* proxy.holds
          const busy = refusal(yield* enroll(where, ["--token-file", file, "--out", "peer"]))
          assert.strictEqual(busy.code, "PEER_DIRECTORY_BUSY")
          assert.include(busy.remediation, "let that process do its work, or end it first: kill")
          child.kill("SIGKILL")
          yield* Effect.promise(() => ended)
          proxy.release()
        }
        const key = readFileSync(join(dir, "pending", "peer.key"), "utf8")
        const csr = readFileSync(join(dir, "pending", "request.csr"), "utf8")
        proxy.decide(() => "pass")
        const document = enrolled(yield* enroll(where, ["--token-file", file, "--out", "peer"]))
        assert.strictEqual(heldIn(dir).key, key)
        const { certificates } = yield* operator.certificates.list({ query: { grant, state: "issued" } })
        assert.deepStrictEqual(
          certificates.map(({ serial }) => serial),
          [document.serial]
        )

        // Killed after all was in place, and before the pending request was removed.
        mkdirSync(join(dir, "pending"), { mode: 0o700 })
        writeFileSync(join(dir, "pending", "peer.key"), key, { mode: 0o600 })
        writeFileSync(join(dir, "pending", "request.csr"), csr)
        const again = enrolled(yield* enroll(where, ["--token-file", file, "--out", "peer"]))
        assert.strictEqual(again.serial, document.serial)
        assert.isFalse(existsSync(join(dir, "pending")))
      })
  )

  it.effect("sends its token to no gateway but that of the token's root", () =>
    Effect.gen(function* () {
      const good = yield* makeRoot("Good Root CA")
      const evil = yield* makeRoot("Evil Root CA")
      const underGood = yield* makeServerIdentity(good, { names: ["localhost"] })
      const underEvil = yield* makeServerIdentity(evil, { names: ["localhost"] })
      const otherName = yield* makeServerIdentity(good, { names: ["other.example"] })
      const bundle = (...roots: ReadonlyArray<Authority>) =>
        text(200, roots.map(({ pem }) => `${pem}\n`).join(""), pemType)
      const cases = [
        ["another root", underEvil, bundle(evil), "GATEWAY_ROOTS_REFUSED", "which is not in the token"],
        [
          "a root too many",
          underEvil,
          bundle(good, evil),
          "GATEWAY_ROOTS_REFUSED",
          "CN=Evil Root CA has SHA-256"
        ],
        [
          "the good root and its own TLS",
          underEvil,
          bundle(good),
          "GATEWAY_ROOTS_REFUSED",
          "does not hold under it"
        ],
        ["another name", otherName, bundle(good), "GATEWAY_UNTRUSTED", "does not name that host"],
        ["nothing", underEvil, text(200, "", pemType), "GATEWAY_ANSWER_UNREADABLE", "200"],
        ["no certificate", underEvil, text(200, "hello", pemType), "GATEWAY_ROOTS_REFUSED", "/v1/roots"],
        [
          "a leaf",
          underGood,
          text(200, underGood.cert, pemType),
          "GATEWAY_ROOTS_REFUSED",
          "is not self-signed"
        ],
        [
          "a flood",
          underEvil,
          text(200, "x".repeat(3 << 20), pemType),
          "GATEWAY_ANSWER_UNREADABLE",
          "1048576"
        ],
        [
          "another place",
          underEvil,
          text(302, "", { location: "https://localhost/" }),
          "GATEWAY_ANSWER_UNREADABLE",
          "a redirect"
        ],
        ["a hang-up", underEvil, hangUp, "GATEWAY_UNREACHABLE", "GET /v1/roots: the connection was closed"],
        ["silence", underGood, silence, "GATEWAY_UNREACHABLE", "GET /v1/roots: no complete answer within"]
      ] as const
      for (const [name, identity, behaviour, code, why] of cases) {
        const server = yield* makeTlsServer(identity, behaviour)
        const { dir, file, where } = yield* newcomer(tokenFor(server.port, good))
        const ran = yield* enroll(where, ["--token-file", file, "--out", "peer"])
        const error = refusal(ran)
        assert.deepStrictEqual([ran.code, error.code], [5, code], name)
        assert.include(error.message, why, name)
        if (code === "GATEWAY_ROOTS_REFUSED") {
          assert.include(
            error.remediation,
            "see that the URL leads to the grantor's gateway and to nobody else"
          )
        }
        if (code === "GATEWAY_UNREACHABLE") {
          assert.match(
            error.remediation,
            /^try again; if it stays so, .* tell the grantor that the gateway at /
          )
        }
        assert.deepStrictEqual(
          [...new Set(server.requests.map(({ method, path }) => `${method} ${path}`))],
          name === "another name" ? [] : ["GET /v1/roots"],
          name
        )
        assert.notInclude(JSON.stringify(server.requests), secret)
        assert.notInclude(JSON.stringify(server.requests), "mosaic_enroll_1_")
        assert.isUndefined(server.requests[0]?.headers.authorization)
        assert.deepStrictEqual(readdirSync(dir), ["pending"])
      }
    })
  )

  it.effect("says what is wrong with token, URL and directory before it asks anybody", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot("Root CA")
      const port = yield* freePort
      const { dir, file, where } = yield* newcomer(tokenFor(port, root))
      const away = refusal(yield* enroll(where, ["--token-file", file, "--out", "peer"]))
      assert.strictEqual(away.code, "GATEWAY_UNREACHABLE")
      assert.include(away.message, "ECONNREFUSED")
      const url = `https://localhost:${port + 1}`
      const mismatch = yield* enroll(where, ["--url", url, "--token-file", file, "--out", "peer"])
      const error = refusal(mismatch)
      assert.deepStrictEqual([mismatch.code, error.code], [2, "ENROLLMENT_URL_MISMATCH"])
      assert.include(error.remediation, "leave --url out, or give the token of that gateway")
      assert.include(error.message, `--url is ${url}, the token is for https://localhost:${port}`)
      const plain = yield* enroll(where, ["--url", "http://localhost", "--token-file", file, "--out", "peer"])
      assert.strictEqual(refusal(plain).code, "USAGE_INVALID")
      const cut = refusal(yield* enroll(where, ["--out", "peer"], { input: "mosaic_enroll_1_abc" }))
      assert.strictEqual(cut.code, "ENROLLMENT_TOKEN_MALFORMED")
      assert.notInclude(JSON.stringify(cut), "_abc")

      chmodSync(dir, 0o777)
      const open = yield* enroll(where, ["--token-file", file, "--out", "peer"])
      const unusable = refusal(open)
      assert.deepStrictEqual([open.code, unusable.code], [7, "PEER_DIRECTORY_UNUSABLE"])
      assert.include(unusable.message, "its mode 777 lets others replace the key")
      writeFileSync(join(where.directory, "a-file"), "")
      const inFile = refusal(yield* enroll(where, ["--token-file", file, "--out", "a-file"]))
      assert.strictEqual(inFile.code, "PEER_DIRECTORY_UNUSABLE")
      assert.include(inFile.message, "a-file: it is not a directory")
      const within = refusal(yield* enroll(where, ["--token-file", file, "--out", "a-file/new/peer"]))
      assert.strictEqual(within.message, "a-file/new/peer: a part of the path is not a directory")
      const inProc = refusal(yield* enroll(where, ["--token-file", file, "--out", "/proc/x"]))
      assert.strictEqual(inProc.code, "PEER_DIRECTORY_UNUSABLE")
      assert.include(inProc.message, "no directory can be made in the file system of processes")
    })
  )

  it.effect.runIf(canMount)("names the cause where no directory can be made", () =>
    Effect.gen(function* () {
      const { directory, environment } = yield* station()
      mkdirSync(join(directory, "ro"))
      const token = tokenFor(yield* freePort, yield* makeRoot("Root CA"))
      for (const out of ["ro/new", "ro/some/where/new"]) {
        const script = `mount -t tmpfs -o ro none ro && exec "$@"`
        const command = [process.execPath, launcher, "federation", "enroll", "--json", "--out", out]
        const { status, stdout } = spawnSync("unshare", ["-rm", "sh", "-euc", script, "sh", ...command], {
          cwd: directory,
          env: environment,
          input: token,
          encoding: "utf8"
        })
        const error = refusal({ code: status, stdout, stderr: "" })
        assert.strictEqual(error.code, "PEER_DIRECTORY_UNUSABLE")
        assert.strictEqual(error.message, `${out}: the file system is read-only`)
        assert.include(error.remediation, "name a directory that this user can make or write in")
      }
    })
  )
})
