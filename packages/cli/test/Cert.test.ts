/** Certificates from the command line, by a real step-ca: what is written, what is not, and every exit code. */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { spawnSync } from "node:child_process"
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { makeRoot } from "@mosaic-federation/testing/TestPki"
import { Effect } from "effect"
import {
  createGrant,
  documentOf,
  type ErrorDocument,
  type Extra,
  finish,
  launcher,
  mosaic,
  start,
  type Station,
  station,
  user
} from "./support/mosaic.ts"

interface Issued {
  readonly serial: string
  readonly grantId: string
  readonly subjectUserId: string
  readonly certificate: string
  readonly notBefore: string
  readonly notAfter: string
  readonly ignoredExtensions: ReadonlyArray<string>
  readonly files: { readonly certificate: string; readonly key: string | null }
}

const atCa = Effect.fnUntraced(function* (extra: Readonly<Record<string, string>> = {}) {
  const { environment } = yield* StepCaProcess
  return yield* station({ ...environment, ...extra })
})

const issue = (where: Station, grant: string, ...options: ReadonlyArray<string>) =>
  mosaic(where, ["federation", "cert", "issue", "--grant", grant, ...options])

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

const refused = (
  ran: { readonly code: number | null; readonly stdout: string },
  code: string,
  exit: number
) => {
  const { error } = documentOf<ErrorDocument>(ran.stdout)
  assert.deepStrictEqual([error.code, error.exitCode, ran.code], [code, exit, exit])
  return error
}

const plainTemplate = readFileSync(
  fileURLToPath(new URL("../../issuance/test/fixtures/plain.tpl", import.meta.url)),
  "utf8"
)

layer(StepCaProcess.layer(), { excludeTestServices: true })("mosaic federation cert", (it) => {
  it.effect("issues for a CSR: leaf and chain in one file, for whoever can verify", () =>
    Effect.gen(function* () {
      const { rootPath } = yield* StepCaProcess
      const where = yield* atCa()
      const grant = yield* createGrant(where, "--scope", "orders:read")
      const csr = yield* makeCsr("P-256", { dnsNames: [] })
      writeFileSync(join(where.directory, "request.csr"), csr.pem)
      const ran = yield* issue(where, grant, "--csr", "request.csr", "--cert-out", "peer.crt", "--json")
      assert.deepStrictEqual([ran.code, ran.stderr], [0, ""])
      const issued = documentOf<Issued>(ran.stdout)
      const written = readFileSync(join(where.directory, "peer.crt"), "utf8")
      assert.isTrue(written.startsWith(issued.certificate))
      assert.lengthOf(written.match(/BEGIN CERTIFICATE/g) ?? [], 2)
      const leaf = new X509Certificate(issued.certificate)
      assert.strictEqual(BigInt(`0x${leaf.serialNumber}`).toString(), issued.serial)
      assert.isTrue(leaf.checkPrivateKey(createPrivateKey(csr.privateKeyPem)))
      assert.strictEqual(modeOf(join(where.directory, "peer.crt")), "644")
      assert.deepStrictEqual(readdirSync(where.directory).toSorted(), ["peer.crt", "request.csr"])

      const verified = yield* mosaic(where, ["federation", "cert", "verify", "peer.crt", "--root", rootPath])
      assert.strictEqual(verified.code, 0)
      assert.match(verified.stdout, /^ {2}ok {4}chain: /m)
      assert.notInclude(verified.stdout, "FAIL")

      const inspected = yield* mosaic(where, ["federation", "cert", "inspect", "peer.crt"])
      assert.strictEqual(inspected.code, 0)
      for (const text of [
        `grantId        ${grant}  (the grant)`,
        `subjectUserId  ${user}  (the user it acts for)`,
        "peer           gateway.example, whose grant is active now",
        "(23 h 59 min left)",
        "root           O=",
        "on record      issued"
      ]) {
        assert.include(inspected.stdout, text)
      }
      const elsewhere = yield* station()
      const unknown = yield* mosaic(elsewhere, ["federation", "cert", "inspect", "-", "--json"], {
        input: written
      })
      const document = documentOf<Record<string, unknown>>(unknown.stdout)
      assert.deepStrictEqual(
        [
          document["grantId"],
          document["subjectUserId"],
          document["peer"],
          document["record"],
          document["conformant"]
        ],
        [grant, user, null, null, true]
      )
      assert.isFalse(existsSync(elsewhere.environment["MOSAIC_HOME"] ?? ""), "looking made no database")
    })
  )

  it.effect("makes a key of each kind, which only its owner can read", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      const expected = { p256: "ec", p384: "ec", ed25519: "ed25519", rsa3072: "rsa" }
      for (const [type, asymmetricKeyType] of Object.entries(expected)) {
        const [key, certificate] = [`${type}.key`, `${type}.crt`]
        const ran = yield* issue(
          where,
          grant,
          "--key-out",
          key,
          "--key-type",
          type,
          "--cert-out",
          certificate,
          "--lifetime",
          "1h30m",
          "--json"
        )
        assert.strictEqual(ran.code, 0, ran.stdout)
        assert.strictEqual(modeOf(join(where.directory, key)), "600")
        const privateKey = createPrivateKey(readFileSync(join(where.directory, key)))
        assert.strictEqual(privateKey.asymmetricKeyType, asymmetricKeyType)
        const leaf = new X509Certificate(readFileSync(join(where.directory, certificate)))
        assert.isTrue(leaf.checkPrivateKey(privateKey))
        const { files, notAfter, notBefore } = documentOf<Issued>(ran.stdout)
        assert.deepStrictEqual(files, { certificate, key })
        assert.strictEqual(Date.parse(notAfter) - Date.parse(notBefore), 91 * 60_000)
        assert.notInclude(ran.stdout, "PRIVATE KEY")
      }
    })
  )

  it.effect("reads a CSR in DER, from a file and from standard input, and reports what it ignores", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      const { pem } = yield* makeCsr("Ed25519", { asCa: true })
      const der = Buffer.from(pem.replaceAll(/-----.*-----|\n/g, ""), "base64")
      writeFileSync(join(where.directory, "request.der"), der)
      const fromFile = yield* issue(where, grant, "--csr", "request.der", "--cert-out", "1.crt")
      assert.strictEqual(fromFile.code, 0, fromFile.stderr)
      assert.match(fromFile.stdout, /ignored {6}extensions that the CSR asked for: .*basicConstraints/)
      const fromInput = yield* mosaic(
        where,
        ["federation", "cert", "issue", "--grant", grant, "--csr", "-", "--cert-out", "2.crt", "--json"],
        { input: pem }
      )
      assert.include(documentOf<Issued>(fromInput.stdout).ignoredExtensions, "basicConstraints")
    })
  )

  it.effect("overwrites nothing without --force, and then issues nothing either", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      const at = (name: string) => join(where.directory, name)
      writeFileSync(at("peer.crt"), "precious")
      writeFileSync(at("peer.key"), "dear", { mode: 0o644 })
      symlinkSync("nowhere", at("link.crt"))
      for (const [key, certificate, path] of [
        ["new.key", "peer.crt", "peer.crt"],
        ["peer.key", "new.crt", "peer.key"],
        ["new.key", "link.crt", "link.crt"]
      ] as const) {
        const error = refused(
          yield* issue(where, grant, "--key-out", key, "--cert-out", certificate, "--json"),
          "OUTPUT_EXISTS",
          2
        )
        assert.strictEqual(error.message, `${path} exists`)
        assert.include(error.remediation, "--force")
      }
      assert.deepStrictEqual(readdirSync(where.directory).toSorted(), ["link.crt", "peer.crt", "peer.key"])
      const listed = yield* mosaic(where, ["federation", "cert", "list", "--json"])
      assert.deepStrictEqual(documentOf(listed.stdout), { certificates: [] })

      linkSync(at("peer.crt"), at("other-name.crt"))
      const forced = yield* issue(where, grant, "--key-out", "peer.key", "--cert-out", "peer.crt", "--force")
      assert.strictEqual(forced.code, 0, forced.stderr)
      assert.strictEqual(readFileSync(at("other-name.crt"), "utf8"), "precious")
      assert.strictEqual(modeOf(at("peer.key")), "600")
      assert.include(readFileSync(at("peer.crt"), "utf8"), "BEGIN CERTIFICATE")
    })
  )

  it.effect("finds out that it cannot write before the CA is asked", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      mkdirSync(join(where.directory, "there"))
      for (const [path, reason] of [
        ["missing/peer.crt", "the directory does not exist"],
        ["there", "it is there and is not a regular file"],
        [`${"x".repeat(300)}.crt`, "the name is too long"]
      ] as const) {
        const error = refused(
          yield* issue(where, grant, "--key-out", "peer.key", "--cert-out", path, "--force", "--json"),
          "OUTPUT_UNWRITABLE",
          7
        )
        assert.strictEqual(error.message, `${path}: ${reason}`)
        assert.include(error.remediation, "nothing was issued")
      }
      assert.deepStrictEqual(readdirSync(where.directory), ["there"])
      const listed = yield* mosaic(where, ["federation", "cert", "list", "--grant", grant, "--json"])
      assert.deepStrictEqual(documentOf(listed.stdout), { certificates: [] })
    })
  )

  it.effect("finds out that the disk is full before the CA is asked", (context) =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      const inNamespace = (script: string) =>
        spawnSync("unshare", ["--user", "--map-root-user", "--mount", "sh", "-euc", script], {
          cwd: where.directory,
          env: where.environment,
          encoding: "utf8"
        })
      mkdirSync(join(where.directory, "small"))
      const mount = "mount -t tmpfs -o size=16k mosaic small"
      if (inNamespace(mount).status !== 0) {
        return context.skip("this system lets nobody mount a small disk in a user namespace (unshare)")
      }
      const command = `'${process.execPath}' '${launcher}' federation cert issue --grant ${grant}`
      const ran = inNamespace(
        `${mount}; ${command} --key-out peer.key --cert-out small/peer.crt --json || code=$?; ls -A small; exit $code`
      )
      const [line = "", ...left] = ran.stdout.trim().split("\n")
      const error = refused({ code: ran.status, stdout: `${line}\n` }, "OUTPUT_UNWRITABLE", 7)
      assert.strictEqual(error.message, "small/peer.crt: no space left on the disk")
      assert.deepStrictEqual(left, [], "no part of a file is left")
      const listed = yield* mosaic(where, ["federation", "cert", "list", "--json"])
      assert.deepStrictEqual(documentOf(listed.stdout), { certificates: [] })
    })
  )

  it.effect("lets two processes that want one file have one certificate there, whole", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      const args = ["federation", "cert", "issue", "--grant", grant, "--cert-out", "peer.crt", "--json"]
      const ran = yield* Effect.promise(() =>
        Promise.all(
          ["1.key", "2.key", "3.key"].map((key) => finish(start(where, [...args, "--key-out", key])))
        )
      )
      const [winner, ...none] = ran.filter(({ code }) => code === 0)
      assert(winner !== undefined && none.length === 0)
      const { certificate, files } = documentOf<Issued>(winner.stdout)
      assert.isTrue(readFileSync(join(where.directory, "peer.crt"), "utf8").startsWith(certificate))
      const key = createPrivateKey(readFileSync(join(where.directory, files.key ?? "")))
      assert.isTrue(new X509Certificate(certificate).checkPrivateKey(key))
      for (const lost of ran.filter((one) => one !== winner)) {
        const { error } = documentOf<ErrorDocument>(lost.stdout)
        // Who came later saw the file at once; who came at the same time has a certificate on record and hears how to get it.
        if (error.code === "OUTPUT_EXISTS") continue
        assert.strictEqual(error.code, "OUTPUT_UNWRITABLE")
        assert.strictEqual(error.message, "peer.crt: another process made this file meanwhile")
        const [, serial = ""] = /cert export (\d+) --cert-out FILE/.exec(error.remediation) ?? []
        const exported = yield* mosaic(where, [
          "federation",
          "cert",
          "export",
          serial,
          "--cert-out",
          `${serial}.crt`
        ])
        assert.strictEqual(exported.code, 0, exported.stderr)
        const again = new X509Certificate(readFileSync(join(where.directory, `${serial}.crt`)))
        assert.strictEqual(BigInt(`0x${again.serialNumber}`).toString(), serial)
      }
    })
  )

  it.effect("knows no certificate of a serial that it has not issued", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const serial = "93427531884120366271530982345677012345"
      const error = refused(
        yield* mosaic(where, ["federation", "cert", "export", serial, "--cert-out", "x.crt", "--json"]),
        "CERTIFICATE_NOT_FOUND",
        3
      )
      assert.strictEqual(error.message, `no issued certificate of serial ${serial}`)
      assert.include(error.remediation, "mosaic federation cert list")
      assert.deepStrictEqual(readdirSync(where.directory), [])
    })
  )

  it.effect("tells how long certificates live on after a revocation, and issues no more", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      const issued = documentOf<Issued>(
        (yield* issue(where, grant, "--key-out", "1.key", "--cert-out", "1.crt", "--json")).stdout
      )
      const revoked = yield* mosaic(where, ["federation", "grant", "revoke", grant, "--json"])
      const document = documentOf<Record<string, unknown>>(revoked.stdout)
      assert.deepStrictEqual([document["liveCertificates"], document["lastNotAfter"]], [1, issued.notAfter])
      assert.deepStrictEqual(document["caRevocations"], { done: 1, open: 0, because: null })
      const error = refused(
        yield* issue(where, grant, "--key-out", "2.key", "--cert-out", "2.crt", "--json"),
        "GRANT_REVOKED",
        3
      )
      assert.include(error.message, "revoked by the operator")
      assert.include(error.remediation, "mosaic federation grant create")
      assert.isFalse(existsSync(join(where.directory, "2.key")))
      const inspected = yield* mosaic(where, ["federation", "cert", "inspect", "1.crt"])
      assert.include(inspected.stdout, "gateway.example, whose grant is revoked now")
    })
  )

  it.effect("revokes a grant whatever the CA does, and says what the CA has yet to do", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      for (const name of ["1", "2"]) {
        yield* issue(where, grant, "--key-out", `${name}.key`, "--cert-out", `${name}.crt`)
      }
      const revoke = (extra: Extra, ...options: ReadonlyArray<string>) =>
        mosaic(where, ["federation", "grant", "revoke", grant, ...options], extra)
      const answers = [
        [{ STEP_CA_URL: undefined }, { done: 0, open: 2, because: "CONFIG_MISSING" }],
        [{ STEP_CA_URL: "https://127.0.0.1:1" }, { done: 0, open: 2, because: "CA_CONNECTION_REFUSED" }]
      ] as const
      for (const [extra, caRevocations] of answers) {
        const answer = yield* revoke(extra, "--json")
        assert.strictEqual(answer.code, 0, answer.stderr)
        const document = documentOf<Record<string, unknown>>(answer.stdout)
        assert.deepStrictEqual([document["status"], document["caRevocations"]], ["revoked", caRevocations])
      }
      const told = yield* revoke({ STEP_CA_URL: "https://127.0.0.1:1" })
      assert.include(
        told.stdout,
        "The CA has yet to revoke 2 certificates of it (CA_CONNECTION_REFUSED): run this again to try now, or leave it to a running gateway.\n"
      )
      const done = yield* revoke({})
      assert.include(done.stdout, "2 certificates of it stay valid until ")
      assert.include(done.stdout, "The CA has revoked 2 certificates of it: none renews there.\n")
      const listed = yield* mosaic(where, ["federation", "cert", "list", "--grant", grant, "--json"])
      const { certificates } = documentOf<{ certificates: ReadonlyArray<{ revokedAtCa: string | null }> }>(
        listed.stdout
      )
      assert.deepStrictEqual(
        certificates.map(({ revokedAtCa }) => revokedAtCa !== null),
        [true, true]
      )
    })
  )

  it.effect("refuses the wrong user", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      const error = refused(
        yield* issue(where, grant, "--user", grant, "--key-out", "k", "--cert-out", "c", "--json"),
        "GRANT_SUBJECT_MISMATCH",
        3
      )
      assert.strictEqual(error.message, `grant ${grant} does not act for user ${grant}`)
      assert.notInclude(JSON.stringify(error), user)
    })
  )

  it.effect("ends with 2 where an input cannot be read", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      writeFileSync(join(where.directory, "huge"), Buffer.alloc(300 * 1024))
      writeFileSync(join(where.directory, "text"), "hello")
      for (const [path, reason] of [
        ["missing.csr", "no such file"],
        [".", "is a directory"],
        ["huge", "larger than 262144 bytes"]
      ] as const) {
        const error = refused(
          yield* issue(where, grant, "--csr", path, "--cert-out", "c", "--json"),
          "INPUT_UNREADABLE",
          2
        )
        assert.strictEqual(error.message, `${path}: ${reason}`)
        assert.include(error.remediation, "ls -l")
      }
      const error = refused(
        yield* mosaic(where, ["federation", "cert", "inspect", "text", "--json"]),
        "CERTIFICATE_UNREADABLE",
        2
      )
      assert.match(error.message, /^text: /)
      assert.include(error.remediation, "openssl x509 -in text")
      writeFileSync(join(where.directory, "empty"), "")
      for (const [path, problem] of [
        ["text", "there is no PEM block"],
        ["empty", "it is empty"]
      ] as const) {
        const ran = yield* issue(where, grant, "--csr", path, "--cert-out", "c", "--json")
        assert.strictEqual(refused(ran, "CSR_MALFORMED", 3).message, `the CSR is malformed: ${problem}`)
      }
    })
  )

  it.effect("ends with 4 where the CA refuses", () =>
    Effect.gen(function* () {
      const where = yield* atCa({ STEP_CA_PROVISIONER: "somebody-else" })
      const grant = yield* createGrant(where)
      const ran = yield* issue(where, grant, "--key-out", "k", "--cert-out", "c", "--json")
      const { error } = documentOf<ErrorDocument>(ran.stdout)
      assert.deepStrictEqual([ran.code, error.exitCode], [4, 4], ran.stdout)
      assert.include(error.message, "somebody-else")
      assert.deepStrictEqual(readdirSync(where.directory), [])
    })
  )

  it.effect("ends with 5 where the CA is not the one of the pinned root", () =>
    Effect.gen(function* () {
      const other = yield* makeRoot("Another Root")
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      writeFileSync(join(where.directory, "other_ca.crt"), other.pem)
      const ran = yield* mosaic(
        where,
        ["federation", "cert", "issue", "--grant", grant, "--key-out", "k", "--cert-out", "c", "--json"],
        { STEP_CA_ROOT_CERT_PATH: "other_ca.crt" }
      )
      const error = refused(ran, "CA_ISSUER_UNKNOWN", 5)
      assert.include(error.remediation, "STEP_CA_ROOT_CERT_PATH")
    })
  )

  it.effect("ends with 6 where a check fails, and says which, in both forms", () =>
    Effect.gen(function* () {
      const other = yield* makeRoot("Another Root")
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      yield* issue(where, grant, "--key-out", "k", "--cert-out", "c.crt")
      writeFileSync(join(where.directory, "other_ca.crt"), other.pem)
      const verify = ["federation", "cert", "verify", "c.crt", "--root", "other_ca.crt"]
      const people = yield* mosaic(where, verify)
      assert.strictEqual(people.code, 6)
      assert.match(people.stdout, /^ {2}FAIL {2}chain: expected /m)
      assert.match(
        people.stderr,
        /^The certificate is not a valid grant certificate \(CERTIFICATE_NOT_CONFORMANT\)\n {2}why: c\.crt: chain: /
      )
      const program = yield* mosaic(where, [...verify, "--json"])
      assert.deepStrictEqual(
        [program.code, program.stderr.split("\n")[0]],
        [6, "The certificate is not a valid grant certificate (CERTIFICATE_NOT_CONFORMANT)"]
      )
      const document = documentOf<{
        readonly conformant: boolean
        readonly checks: ReadonlyArray<{ readonly field: string; readonly outcome: string }>
        readonly error: { readonly code: string; readonly remediation: string }
      }>(program.stdout)
      assert.isFalse(document.conformant)
      assert.strictEqual(document.error.code, "CERTIFICATE_NOT_CONFORMANT")
      assert.include(document.error.remediation, "--root")
      assert.deepStrictEqual(
        document.checks.filter(({ outcome }) => outcome === "mismatch").map(({ field }) => field),
        ["chain"]
      )
      const root = (yield* StepCaProcess).rootPath
      const rootItself = yield* mosaic(where, ["federation", "cert", "verify", root, "--root", root])
      assert.strictEqual(rootItself.code, 6)
      assert.match(
        rootItself.stdout,
        /^ {2}FAIL {2}extension 1\.3\.6\.1\.4\.1\.99999\.1 \(grantId\): .*found absent$/m
      )
    })
  )

  it.effect("ends with 8 where a setting is missing or a root is refused", () =>
    Effect.gen(function* () {
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      const args = [
        "federation",
        "cert",
        "issue",
        "--grant",
        grant,
        "--key-out",
        "k",
        "--cert-out",
        "c",
        "--json"
      ]
      const missing = refused(yield* mosaic(where, args, { STEP_CA_URL: undefined }), "CONFIG_MISSING", 8)
      assert.strictEqual(missing.message, "neither STEP_CA_URL nor STEP_CA_URL_FILE is set")
      assert.include(missing.remediation, "set STEP_CA_URL to the CA's https URL")
      yield* issue(where, grant, "--key-out", "leaf.key", "--cert-out", "leaf.crt")
      const root = refused(
        yield* mosaic(where, ["federation", "cert", "verify", "leaf.crt", "--root", "leaf.crt", "--json"]),
        "ROOT_CERTIFICATE_REFUSED",
        8
      )
      assert.match(root.message, /^--root: leaf\.crt: .*is not self-signed/)
    })
  )

  it.effect("hands out nothing when it is interrupted while the CA is silent", () =>
    Effect.gen(function* () {
      const ca = yield* StepCaProcess
      // It tries four times, and is to be interrupted before it gives up.
      const where = yield* atCa({ STEP_CA_TIMEOUT: "3s", STEP_CA_CONNECT_TIMEOUT: "3s" })
      const grant = yield* createGrant(where)
      const pid = ca.pid()
      assert(pid !== undefined)
      yield* Effect.acquireRelease(
        Effect.sync(() => process.kill(pid, "SIGSTOP")),
        () => Effect.sync(() => process.kill(pid, "SIGCONT"))
      )
      const child = start(where, [
        "federation",
        "cert",
        "issue",
        "--grant",
        grant,
        "--key-out",
        "k",
        "--cert-out",
        "c"
      ])
      const ended = finish(child)
      const intents = () =>
        Effect.map(
          mosaic(where, ["federation", "cert", "list", "--json"]),
          ({ stdout }) => documentOf<{ readonly certificates: ReadonlyArray<unknown> }>(stdout).certificates
        )
      while ((yield* intents()).length === 0) yield* Effect.sleep("50 millis")
      child.kill("SIGINT")
      const { code, stdout } = yield* Effect.promise(() => ended)
      assert.deepStrictEqual([code, stdout], [130, ""])
      assert.deepStrictEqual(readdirSync(where.directory), [])
    })
  )

  it.effect("ends with 5 where the CA is away", () =>
    Effect.gen(function* () {
      const ca = yield* StepCaProcess
      const where = yield* atCa()
      const grant = yield* createGrant(where)
      yield* Effect.acquireRelease(ca.kill9, () => Effect.orDie(ca.start))
      const error = refused(
        yield* issue(where, grant, "--key-out", "k", "--cert-out", "c", "--json"),
        "CA_CONNECTION_REFUSED",
        5
      )
      assert.include(error.message, new URL(ca.url).port)
      assert.deepStrictEqual(readdirSync(where.directory), [])
    })
  )
})

layer(StepCaProcess.layer({ federationTemplate: plainTemplate }), { excludeTestServices: true })(
  "mosaic federation cert, at a CA with another template",
  (it) => {
    it.effect("withholds, with 6, and leaves neither key nor certificate", () =>
      Effect.gen(function* () {
        const where = yield* atCa()
        const grant = yield* createGrant(where)
        const error = refused(
          yield* issue(where, grant, "--key-out", "k", "--cert-out", "c", "--json"),
          "CERTIFICATE_WITHHELD",
          6
        )
        assert.match(error.message, /serialNumber: expected \d+, found \d+/)
        assert.include(error.remediation, "init.sh")
        assert.deepStrictEqual(readdirSync(where.directory), [])
        const { stdout } = yield* mosaic(where, ["federation", "cert", "list"])
        assert.match(stdout, /withheld .* CERTIFICATE_WITHHELD/)
      })
    )
  }
)
