/**
 * Every setting that can be wrong fails the start with an error of its own, which names the variable and says what to
 * put there. None shows a secret: each refusal below is searched for the password and for the private key.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { compactJwe, makeProvisionerKey, publicHalf } from "@mosaic-federation/testing/ProvisionerKeys"
import {
  expired,
  makeIntermediate,
  makeRoot,
  makeSelfSignedIdentity,
  notYetValid
} from "@mosaic-federation/testing/TestPki"
import { Cause, Duration, Effect, Exit } from "effect"
import { IssuanceConfig, type IssuanceConfigError, type IssuanceSettings } from "../src/IssuanceConfig.ts"
import { layerConfig } from "./support/issuanceOver.ts"

type Environment = { readonly [variable: string]: string }

const password = "Tr0ub4dor-and-3-horses"

const required = {
  STEP_CA_URL: "the CA's https URL: scheme, host and port, such as https://ca.example:9000",
  STEP_CA_PROVISIONER_KEY_JSON: "the provisioner's private JWK, or the JWE that step ca init writes",
  STEP_CA_PROVISIONER_PASSWORD: "the password of the provisioner key (any text when the key is a plain JWK)",
  STEP_CA_ROOT_CERT_PATH: "the path of a PEM file with the CA's root certificate"
} as const

/** A directory that goes with the test; the function writes a file into it and returns its path. */
const files = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-config-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  ),
  (directory) => (name: string, text: string) => {
    const path = join(directory, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
)

/** Four settings that are right, with a key of which each test knows the secret. */
const good = Effect.gen(function* () {
  const file = yield* files
  const jwk = yield* Effect.promise(() => makeProvisionerKey("ES256"))
  const jwe = yield* Effect.promise(() => compactJwe(jwk, password))
  const root = yield* makeRoot("Example Root CA")
  const rootPath = file("root_ca.crt", root.pem)
  const environment: Environment & Record<keyof typeof required, string> = {
    STEP_CA_URL: "https://ca.example:9000",
    STEP_CA_PROVISIONER_KEY_JSON: jwe,
    STEP_CA_PROVISIONER_PASSWORD: password,
    STEP_CA_ROOT_CERT_PATH: rootPath
  }
  return { environment, file, jwk, jwe, root, rootPath, secrets: [password, String(jwk["d"]), jwe] }
})

const settings = (environment: Environment): Effect.Effect<IssuanceSettings, IssuanceConfigError> =>
  IssuanceConfig.useSync((read) => read).pipe(Effect.provide(layerConfig(environment)))

/** Code, message and remediation, after everything that could be printed of the failure was searched for secrets. */
const refusal = (environment: Environment, secrets: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(settings(environment))
    if (Exit.isSuccess(exit)) return assert.fail("the settings were accepted")
    const error = yield* Effect.flip(settings(environment))
    const shown = [
      JSON.stringify(error),
      JSON.stringify(exit),
      inspect(exit.cause, { depth: Infinity, showHidden: true }),
      Cause.pretty(exit.cause),
      error.message,
      error.remediation
    ].join("\n")
    for (const secret of secrets) assert.notInclude(shown, secret)
    return { code: error.code, message: error.message, remediation: error.remediation }
  })

describe("IssuanceConfig", () => {
  it.live("reads four settings and has a default for every other", () =>
    Effect.gen(function* () {
      const { environment, jwk } = yield* good
      const read = yield* settings(environment)
      assert.strictEqual(read.caUrl.href, "https://ca.example:9000/")
      assert.strictEqual(read.provisioner, "mosaic-fed")
      assert.deepStrictEqual([read.provisionerKey.kid, read.provisionerKey.algorithm], [jwk.kid, "ES256"])
      assert.deepStrictEqual(
        read.roots.map(({ subject }) => subject.text),
        ["CN=Example Root CA"]
      )
      assert.deepStrictEqual(read.oids, {
        grantId: "1.3.6.1.4.1.99999.1",
        subjectUserId: "1.3.6.1.4.1.99999.2"
      })
      const { longest, shortest, standard } = read.lifetimes
      assert.deepStrictEqual(
        [shortest, standard, longest, read.connectTimeout, read.totalTimeout].map(Duration.toSeconds),
        [300, 86_400, 86_400, 2, 10]
      )
    })
  )

  it.live("takes what is set instead of the defaults", () =>
    Effect.gen(function* () {
      const { environment } = yield* good
      const read = yield* settings({
        ...environment,
        STEP_CA_PROVISIONER: "another",
        MOSAIC_OID_ARC: "1.3.6.1.4.1.32473.7",
        MOSAIC_CERT_MIN: "30s",
        MOSAIC_CERT_DEFAULT: "90m",
        MOSAIC_CERT_MAX: "1h30m",
        STEP_CA_CONNECT_TIMEOUT: "1s",
        STEP_CA_TIMEOUT: "3s"
      })
      assert.strictEqual(read.provisioner, "another")
      assert.strictEqual(read.oids.grantId, "1.3.6.1.4.1.32473.7.1")
      const { longest, shortest, standard } = read.lifetimes
      assert.deepStrictEqual(
        [shortest, standard, longest, read.connectTimeout, read.totalTimeout].map(Duration.toSeconds),
        [30, 5400, 5400, 1, 3]
      )
    })
  )

  for (const [variable, expects] of Object.entries(required)) {
    it.live(`needs ${variable}, also when it is empty, and says what to put there`, () =>
      Effect.gen(function* () {
        const { environment, secrets } = yield* good
        const { [variable]: _absent, ...rest } = environment
        for (const without of [rest, { ...rest, [variable]: "" }]) {
          assert.deepStrictEqual(yield* refusal(without, secrets), {
            code: "CONFIG_MISSING",
            message: `neither ${variable} nor ${variable}_FILE is set`,
            remediation: `set ${variable} to ${expects}, or ${variable}_FILE to the path of a file that holds it`
          })
        }
      })
    )

    it.live(`reads ${variable}_FILE, of which one newline at the end is not part`, () =>
      Effect.gen(function* () {
        const { environment, file, jwk, rootPath } = yield* good
        const { [variable]: value = "", ...rest } = environment
        for (const end of ["", "\n", "\r\n"]) {
          const read = yield* settings({ ...rest, [`${variable}_FILE`]: file("setting", value + end) })
          assert.strictEqual(read.caUrl.host, "ca.example:9000")
          assert.strictEqual(read.provisionerKey.kid, jwk.kid)
          assert.strictEqual(read.roots.length, 1, rootPath)
        }
      })
    )

    it.live(`refuses ${variable} and ${variable}_FILE together`, () =>
      Effect.gen(function* () {
        const { environment, file, secrets } = yield* good
        const both = { ...environment, [`${variable}_FILE`]: file("setting", environment[variable] ?? "") }
        assert.deepStrictEqual(yield* refusal(both, secrets), {
          code: "CONFIG_CONFLICT",
          message: `${variable} and ${variable}_FILE are both set`,
          remediation: `unset one of the two: unset ${variable}, or unset ${variable}_FILE`
        })
      })
    )

    it.live(`says why the file that ${variable}_FILE names is of no use`, () =>
      Effect.gen(function* () {
        const { environment, file, rootPath, secrets } = yield* good
        const { [variable]: _absent, ...rest } = environment
        const fileVariable = `${variable}_FILE`
        const unreadable = (path: string, reason: string) => ({
          code: "CONFIG_FILE_UNREADABLE",
          message: `${fileVariable} names ${path}, which cannot be read: ${reason}`,
          remediation: `make ${path} readable for this user (ls -l ${path}), or set ${fileVariable} to the right path`
        })
        const absent = `${rootPath}.absent`
        const large = file("large", "x".repeat(256 * 1024 + 1))
        const empty = file("empty", "\n")
        const refused = (path: string) => refusal({ ...rest, [fileVariable]: path }, secrets)
        assert.deepStrictEqual(yield* refused(absent), unreadable(absent, "no such file"))
        assert.deepStrictEqual(yield* refused(tmpdir()), unreadable(tmpdir(), "not a regular file"))
        assert.deepStrictEqual(yield* refused(large), unreadable(large, "larger than 262144 bytes"))
        assert.deepStrictEqual(yield* refused(empty), {
          code: "CONFIG_INVALID",
          message: `${fileVariable}: ${empty} is empty`,
          remediation: `set ${fileVariable} to the path of a file that is not empty`
        })
      })
    )

    it.live(`does not show the value itself where ${variable}_FILE holds it by mistake`, () =>
      Effect.gen(function* () {
        const { environment, jwk, secrets } = yield* good
        const { [variable]: value = "", ...rest } = environment
        const mistaken = { ...rest, [`${variable}_FILE`]: variable.endsWith("PATH") ? "a-secret" : value }
        const plainKey = { ...rest, [`${variable}_FILE`]: JSON.stringify(jwk) }
        for (const refused of [mistaken, plainKey]) {
          assert.deepStrictEqual(yield* refusal(refused, [...secrets, "a-secret"]), {
            code: "CONFIG_INVALID",
            message: `${variable}_FILE: it names no file that can be read, and is not shown in case it is the value itself`,
            remediation: `set ${variable}_FILE to the absolute path of a file that holds the value`
          })
        }
      })
    )
  }

  it.live("takes the CA's own URL over https and nothing else", () =>
    Effect.gen(function* () {
      const { environment, secrets } = yield* good
      const cases = [
        ["ca.example", "it is not a URL"],
        ["http://ca.example:9000", "the scheme is http, only https is accepted"],
        ["ftp://ca.example", "the scheme is ftp, only https is accepted"],
        ["localhost:9000", "the scheme is localhost, only https is accepted"],
        [`https://mosaic:${password}@ca.example:9000`, "it holds a user name or password"],
        ["https://ca.example:9000/1.0/sign", "it has a path, a query or a fragment"],
        ["https://ca.example:9000/?a=b", "it has a path, a query or a fragment"],
        ["https://ca.example:9000/#a", "it has a path, a query or a fragment"]
      ] as const
      for (const [url, problem] of cases) {
        assert.deepStrictEqual(yield* refusal({ ...environment, STEP_CA_URL: url }, secrets), {
          code: "CONFIG_INVALID",
          message: `STEP_CA_URL: ${problem}`,
          remediation: `set STEP_CA_URL to ${required.STEP_CA_URL}`
        })
      }
    })
  )

  it.live("takes lifetimes, time-outs, the arc and the flag in their forms only", () =>
    Effect.gen(function* () {
      const { environment, secrets } = yield* good
      const duration = "a duration such as 24h, 90m or 30s"
      const cases = [
        ["MOSAIC_CERT_MIN", "5", '"5" is not a duration', duration],
        ["MOSAIC_CERT_MAX", "1d", '"1d" is not a duration', duration],
        ["MOSAIC_CERT_DEFAULT", "-1h", '"-1h" is not a duration', duration],
        ["STEP_CA_CONNECT_TIMEOUT", "0s", '"0s" is not a duration', duration],
        ["STEP_CA_TIMEOUT", "soon", '"soon" is not a duration', duration],
        [
          "MOSAIC_CERT_DEFAULT",
          "25h",
          "it does not lie between MOSAIC_CERT_MIN and MOSAIC_CERT_MAX",
          "a duration between MOSAIC_CERT_MIN and MOSAIC_CERT_MAX"
        ],
        [
          "MOSAIC_CERT_MIN",
          "48h",
          "it is longer than MOSAIC_CERT_MAX",
          "a duration that is not longer than MOSAIC_CERT_MAX"
        ],
        [
          "MOSAIC_OID_ARC",
          "1.3.x",
          '"1.3.x" is not an object identifier',
          "the dotted form of your arc, such as 1.3.6.1.4.1.<your IANA PEN>.1"
        ],
        ["STEP_CA_ALLOW_SYMMETRIC_KEY", "yes", '"yes" is neither true nor false', "true or false"]
      ] as const
      for (const [variable, value, problem, expects] of cases) {
        assert.deepStrictEqual(yield* refusal({ ...environment, [variable]: value }, secrets), {
          code: "CONFIG_INVALID",
          message: `${variable}: ${problem}`,
          remediation: `set ${variable} to ${expects}`
        })
      }
    })
  )
})

describe("IssuanceConfig, the provisioner key", () => {
  it.live("accepts a plain JWK, for which a password must be set and is not used", () =>
    Effect.gen(function* () {
      const { environment, jwk, secrets } = yield* good
      const plain = { ...environment, STEP_CA_PROVISIONER_KEY_JSON: JSON.stringify(jwk) }
      for (const any of ["x", password]) {
        const read = yield* settings({ ...plain, STEP_CA_PROVISIONER_PASSWORD: any })
        assert.strictEqual(read.provisionerKey.kid, jwk.kid)
      }
      const { code, remediation } = yield* refusal({ ...plain, STEP_CA_PROVISIONER_PASSWORD: "" }, secrets)
      assert.strictEqual(code, "CONFIG_MISSING")
      assert.include(remediation, "any text when the key is a plain JWK")
    })
  )

  it.live(
    "takes the provisioner's name from its entry, where the key comes as one, and else from its setting",
    () =>
      Effect.gen(function* () {
        const { environment, jwe, jwk } = yield* good
        const named = { ...environment, STEP_CA_PROVISIONER: "mosaic-fed" }
        const entry = { type: "JWK", name: "mosaic-fed-next", key: publicHalf(jwk), encryptedKey: jwe }
        const inEntry = { ...named, STEP_CA_PROVISIONER_KEY_JSON: JSON.stringify(entry) }
        assert.strictEqual((yield* settings(inEntry)).provisioner, "mosaic-fed-next")
        assert.strictEqual((yield* settings(named)).provisioner, "mosaic-fed")
      })
  )

  it.live("tells each way in which key and password can be wrong by an error of its own", () =>
    Effect.gen(function* () {
      const { environment, jwk, secrets } = yield* good
      const other = yield* Effect.promise(() => makeProvisionerKey("ES256"))
      const header = Buffer.from(
        JSON.stringify({ alg: "PBES2-HS256+A128KW", enc: "A256GCM", p2c: 1_000_001, p2s: "AAAA" })
      ).toString("base64url")
      const key = (value: string | object): Environment => ({
        STEP_CA_PROVISIONER_KEY_JSON: typeof value === "string" ? value : JSON.stringify(value)
      })
      const cases: ReadonlyArray<readonly [Environment, string, string, string]> = [
        [
          { STEP_CA_PROVISIONER_PASSWORD: `${password}.` },
          "PROVISIONER_KEY_WRONG_PASSWORD",
          "STEP_CA_PROVISIONER_PASSWORD does not decrypt the JWE in STEP_CA_PROVISIONER_KEY_JSON",
          "set STEP_CA_PROVISIONER_PASSWORD (or _FILE) to the password that this key was made with; to try it: step crypto jwe decrypt --password-file FILE"
        ],
        [
          key("/run/secrets/provisioner_key"),
          "PROVISIONER_KEY_NOT_JWK",
          "STEP_CA_PROVISIONER_KEY_JSON: the text is neither JSON nor a compact JWE: it has 1 of 5 parts",
          "set STEP_CA_PROVISIONER_KEY_JSON to a private JWK, or to the JWE that step ca init writes as encryptedKey"
        ],
        [
          key(publicHalf(jwk)),
          "PROVISIONER_KEY_PUBLIC_ONLY",
          `STEP_CA_PROVISIONER_KEY_JSON: the JWK with kid ${jwk.kid} has no "d" (Private Key) parameter`,
          "set STEP_CA_PROVISIONER_KEY_JSON to the private JWK or its JWE; init.sh writes it to gateway/provisioner_key.jwe in the CA's STEPPATH"
        ],
        [
          key({ ...jwk, kid: other.kid }),
          "PROVISIONER_KEY_KID_MISMATCH",
          `STEP_CA_PROVISIONER_KEY_JSON: "kid" is ${other.kid}, but the key's RFC 7638 thumbprint is ${jwk.kid}`,
          `put the JWK there that the CA lists under this kid (curl --cacert ROOT https://CA/provisioners), or, for a kid of your own choice, set STEP_CA_PROVISIONER_KID=${other.kid}`
        ],
        [
          { STEP_CA_PROVISIONER_KID: other.kid },
          "PROVISIONER_KEY_KID_MISMATCH",
          `STEP_CA_PROVISIONER_KEY_JSON: "kid" is ${jwk.kid}, but STEP_CA_PROVISIONER_KID is ${other.kid}`,
          `put the JWK there that the CA lists under this kid (curl --cacert ROOT https://CA/provisioners), or, for a kid of your own choice, set STEP_CA_PROVISIONER_KID=${jwk.kid}`
        ],
        [
          key(`${header}.AA.AA.AA.AA`),
          "PROVISIONER_KEY_ITERATIONS_REFUSED",
          'STEP_CA_PROVISIONER_KEY_JSON: "p2c" (PBES2 Count) is 1000001, at most 1000000 is accepted',
          "encrypt the key again with fewer iterations: step crypto jwe decrypt, then step crypto jwe encrypt --alg PBES2-HS256+A128KW"
        ],
        [
          key({ ...jwk, alg: "ES384" }),
          "PROVISIONER_KEY_UNSUPPORTED",
          'STEP_CA_PROVISIONER_KEY_JSON: "alg" "ES384" for a key with "kty" EC P-256, which signs ES256, is not accepted',
          "make a provisioner with an EC P-256 key: step ca provisioner add mosaic-fed --type JWK --create"
        ]
      ]
      for (const [change, code, message, remediation] of cases) {
        const refused = yield* refusal({ ...environment, ...change }, secrets)
        assert.deepStrictEqual(refused, { code, message, remediation })
      }
    })
  )

  it.live("takes a symmetric key with STEP_CA_ALLOW_SYMMETRIC_KEY=true only, and explains the refusal", () =>
    Effect.gen(function* () {
      const { environment, secrets } = yield* good
      const oct = yield* Effect.promise(() => makeProvisionerKey("HS256"))
      const symmetric = { ...environment, STEP_CA_PROVISIONER_KEY_JSON: JSON.stringify(oct) }
      for (const flag of ["", "false"]) {
        const refused = yield* refusal({ ...symmetric, STEP_CA_ALLOW_SYMMETRIC_KEY: flag }, [
          ...secrets,
          String(oct["k"])
        ])
        assert.deepStrictEqual(refused, {
          code: "PROVISIONER_KEY_SYMMETRIC_REFUSED",
          message:
            'STEP_CA_PROVISIONER_KEY_JSON has kty "oct" (HS256): step-ca publishes this secret at GET /provisioners',
          remediation:
            "use an asymmetric provisioner (step ca provisioner add mosaic-fed --type JWK --create); to accept the risk set STEP_CA_ALLOW_SYMMETRIC_KEY=true"
        })
      }
      const read = yield* settings({ ...symmetric, STEP_CA_ALLOW_SYMMETRIC_KEY: "true" })
      assert.strictEqual(read.provisionerKey.algorithm, "HS256")
    })
  )

  it.live("shows no secret of settings that are right either", () =>
    Effect.gen(function* () {
      const { environment, secrets } = yield* good
      const read = yield* settings(environment)
      const shown = JSON.stringify(read) + inspect(read, { depth: Infinity, showHidden: true })
      for (const secret of secrets) assert.notInclude(shown, secret)
    })
  )
})

describe("IssuanceConfig, the pinned roots", () => {
  it.live("accepts several, for a rotation, and each once", () =>
    Effect.gen(function* () {
      const { environment, file, root } = yield* good
      const next = yield* makeRoot("Next Root CA")
      const path = file("roots.pem", `${root.pem}\n${next.pem}\n${root.pem}\n`)
      const read = yield* settings({ ...environment, STEP_CA_ROOT_CERT_PATH: path })
      assert.deepStrictEqual(
        read.roots.map(({ subject }) => subject.text),
        ["CN=Example Root CA", "CN=Next Root CA"]
      )
    })
  )

  it.live("refuses a file with anything but self-signed CA certificates, and says what is in it", () =>
    Effect.gen(function* () {
      const { environment, file, root, secrets } = yield* good
      const intermediate = yield* makeIntermediate(root, "Example Intermediate CA")
      const server = yield* makeSelfSignedIdentity("ca.example")
      const later = yield* makeRoot("Later Root CA", notYetValid())
      const cases: ReadonlyArray<readonly [string, RegExp]> = [
        ["", /PEM/],
        ["these are no certificates\n", /PEM/],
        [root.pem.slice(0, -40), /PEM|certificate/i],
        [`${root.pem}\n${server.key}`, /PRIVATE KEY/],
        [intermediate.pem, /CN=Example Intermediate CA is not self-signed: it is no root/],
        [`${root.pem}\n${intermediate.pem}`, /CN=Example Intermediate CA is not self-signed: it is no root/],
        [server.cert, /CN=ca\.example is no CA certificate \(basicConstraints cA, keyUsage keyCertSign\)/],
        [later.pem, /CN=Later Root CA is not valid before \d{4}-/]
      ]
      for (const [text, problem] of cases) {
        const path = file("roots.pem", text)
        const refused = yield* refusal({ ...environment, STEP_CA_ROOT_CERT_PATH: path }, [
          ...secrets,
          server.key.slice(30, 90)
        ])
        assert.strictEqual(refused.code, "ROOT_CERTIFICATE_REFUSED", text)
        assert.match(refused.message, problem)
        assert.isTrue(refused.message.startsWith(`STEP_CA_ROOT_CERT_PATH: ${path}: `))
        assert.strictEqual(
          refused.remediation,
          "fetch the CA's root and compare its fingerprint: step ca root root_ca.crt --ca-url URL --fingerprint SHA256"
        )
      }
    })
  )

  it.live("refuses a root that has expired, alone or beside one that has not", () =>
    Effect.gen(function* () {
      const { environment, file, root, secrets } = yield* good
      const validity = expired()
      const old = yield* makeRoot("Old Root CA", validity)
      for (const pem of [old.pem, `${root.pem}\n${old.pem}`]) {
        const path = file("roots.pem", pem)
        const end = new Date(Math.floor(validity.notAfter.getTime() / 1000) * 1000).toISOString()
        assert.deepStrictEqual(yield* refusal({ ...environment, STEP_CA_ROOT_CERT_PATH: path }, secrets), {
          code: "ROOT_CERTIFICATE_EXPIRED",
          message: `STEP_CA_ROOT_CERT_PATH: ${path}: CN=Old Root CA expired at ${end} (notAfter)`,
          remediation: `put the CA's present root into ${path}, or check this machine's clock: date -u`
        })
      }
    })
  )

  it.live("takes a path, and not the certificate itself", () =>
    Effect.gen(function* () {
      const { environment, root, secrets } = yield* good
      assert.deepStrictEqual(yield* refusal({ ...environment, STEP_CA_ROOT_CERT_PATH: root.pem }, secrets), {
        code: "CONFIG_INVALID",
        message: "STEP_CA_ROOT_CERT_PATH: it holds a certificate",
        remediation: "set STEP_CA_ROOT_CERT_PATH to the path of the file that holds the certificate"
      })
    })
  )

  it.live("says which file of roots it cannot read", () =>
    Effect.gen(function* () {
      const { environment, rootPath, secrets } = yield* good
      const path = `${rootPath}.absent`
      assert.deepStrictEqual(yield* refusal({ ...environment, STEP_CA_ROOT_CERT_PATH: path }, secrets), {
        code: "CONFIG_FILE_UNREADABLE",
        message: `STEP_CA_ROOT_CERT_PATH names ${path}, which cannot be read: no such file`,
        remediation: `make ${path} readable for this user (ls -l ${path}), or set STEP_CA_ROOT_CERT_PATH to the right path`
      })
    })
  )
})
