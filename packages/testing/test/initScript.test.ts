/** What init.sh makes at the first boot, keeps at the second, repairs, and refuses; step-ca itself does not run here. */
import { createPrivateKey } from "node:crypto"
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import type { JWK } from "jose"
import { makeProvisionerKey, publicHalf } from "../src/ProvisionerKeys.ts"
import {
  boot,
  booted,
  caJson,
  type CaConfig,
  filesIn,
  infra,
  openKey,
  pathWithout,
  provisionerOf,
  readConfig,
  refused,
  sha256,
  temporary
} from "./support/initScript.ts"

/** A CA that the tests share: each that changes it has it repaired. */
class FirstBoot extends Context.Service<FirstBoot, { readonly stepPath: string; readonly said: string }>()(
  "@mosaic-federation/testing/test/FirstBoot"
) {
  static readonly layer = Layer.effect(
    FirstBoot,
    Effect.gen(function* () {
      const stepPath = join(yield* temporary, "step")
      return { stepPath, said: yield* booted(stepPath) }
    })
  )
}

const modeNumber = (file: string) => (file.endsWith(".crt") ? 0o644 : 0o600)

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

const read = (path: string) => readFileSync(path, "utf8")

/** The text of ca.json, which is there again after the test. */
const keepConfig = (stepPath: string) =>
  Effect.acquireRelease(
    Effect.sync(() => read(caJson(stepPath))),
    (text) => Effect.sync(() => writeFileSync(caJson(stepPath), text, { mode: 0o600 }))
  )

const templates = ["federation.tpl", "gateway.tpl"] as const

describe("init.sh", () => {
  layer(FirstBoot.layer, { excludeTestServices: true })("on one CA", (it) => {
    it.effect(
      "makes a CA with mosaic-fed for grants and mosaic-gateway for the gateway's own certificate",
      () =>
        Effect.gen(function* () {
          const { said, stepPath } = yield* FirstBoot
          assert.include(said, `first boot: making the CA in ${stepPath}`)
          const config = readConfig(stepPath)
          assert.deepStrictEqual(
            config.authority.provisioners.map(({ name, type }) => [name, type]),
            [
              ["mosaic-fed", "JWK"],
              ["mosaic-gateway", "JWK"]
            ]
          )
          const federation = provisionerOf(config, "mosaic-fed")
          assert.deepStrictEqual(federation.claims, {
            minTLSCertDuration: "5m",
            defaultTLSCertDuration: "24h",
            maxTLSCertDuration: "24h",
            disableRenewal: true
          })
          assert.deepStrictEqual(federation.options.x509, {
            templateFile: join(stepPath, "templates", "federation.tpl"),
            templateData: { mosaicOidArc: "1.3.6.1.4.1.99999" }
          })
          const gateway = provisionerOf(config, "mosaic-gateway")
          assert.strictEqual(gateway.claims["disableRenewal"], true)
          assert.deepStrictEqual(gateway.options.x509, {
            templateFile: join(stepPath, "templates", "gateway.tpl"),
            templateData: { mosaicGatewayNames: { localhost: "dns", "127.0.0.1": "ip" } }
          })
          assert.notStrictEqual(gateway.key.kid, federation.key.kid)
          assert.deepStrictEqual(config.dnsNames, ["step-ca", "localhost", "127.0.0.1"])
          assert.isTrue(config.crl.enabled)
        })
    )

    it.effect(
      "keeps the provisioners' private keys out of ca.json, in files that open with their passwords",
      () =>
        Effect.gen(function* () {
          const { stepPath } = yield* FirstBoot
          assert.notInclude(read(caJson(stepPath)), "encryptedKey")
          for (const [name, prefix] of [
            ["mosaic-fed", ""],
            ["mosaic-gateway", "gateway_"]
          ] as const) {
            const path = join(stepPath, "gateway", `${prefix}provisioner_key.jwe`)
            assert.strictEqual(modeOf(path), "600")
            const opened = yield* openKey(
              path,
              read(join(stepPath, "gateway", `${prefix}provisioner_password`))
            )
            assert.isString(opened.d)
            const { key } = provisionerOf(readConfig(stepPath), name)
            assert.isUndefined(key.d)
            assert.deepStrictEqual([opened.kid, opened.x], [key.kid, key.x])
          }
        })
    )

    it.effect("generates passwords of 256 bits, a different one for each key", () =>
      Effect.gen(function* () {
        const { stepPath } = yield* FirstBoot
        const paths = [
          "secrets/password",
          "gateway/provisioner_password",
          "gateway/gateway_provisioner_password"
        ]
        const passwords = paths.map((path) => read(join(stepPath, path)))
        for (const password of passwords) assert.match(password, /^[0-9a-f]{64}$/)
        assert.strictEqual(new Set(passwords).size, 3)
        for (const key of ["root_ca_key", "intermediate_ca_key"]) {
          const format = { key: read(join(stepPath, "secrets", key)), passphrase: passwords[0] ?? "" }
          assert.strictEqual(createPrivateKey(format).asymmetricKeyType, "ec")
        }
      })
    )

    it.effect("lets nobody else read its secrets, and nobody write its templates", () =>
      Effect.gen(function* () {
        const { stepPath } = yield* FirstBoot
        for (const directory of ["certs", "config", "db", "gateway", "secrets", "templates"]) {
          assert.strictEqual(modeOf(join(stepPath, directory)), "700")
        }
        const modes = Object.entries(filesIn(stepPath)).map(([path, text]) => [path, text.split(" ")[0]])
        assert.deepStrictEqual(Object.fromEntries(modes), {
          ".mosaic-init.lock": "600",
          "certs/intermediate_ca.crt": "644",
          "certs/root_ca.crt": "644",
          "config/ca.json": "600",
          "config/defaults.json": "600",
          "gateway/gateway_provisioner_key.jwe": "600",
          "gateway/gateway_provisioner_password": "600",
          "gateway/provisioner_key.jwe": "600",
          "gateway/provisioner_password": "600",
          "gateway/root_ca.crt": "644",
          "secrets/intermediate_ca_key": "600",
          "secrets/password": "600",
          "secrets/root_ca_key": "600",
          "templates/federation.tpl": "444",
          "templates/gateway.tpl": "444"
        })
      })
    )

    it.effect("prints the SHA-256 of the templates that it installed, the shipped ones", () =>
      Effect.gen(function* () {
        const { said, stepPath } = yield* FirstBoot
        for (const name of templates) {
          const hash = sha256(join(infra, "templates", name))
          assert.include(said, `template ${name} sha256 ${hash}\n`)
          assert.strictEqual(sha256(join(stepPath, "templates", name)), hash)
        }
      })
    )

    it.effect("changes nothing at the second boot", () =>
      Effect.gen(function* () {
        const { stepPath } = yield* FirstBoot
        const before = filesIn(stepPath)
        const said = yield* booted(stepPath)
        assert.deepStrictEqual(filesIn(stepPath), before)
        assert.match(said, /^(init\.sh: template \S+ sha256 [0-9a-f]{64}\n){2}$/)
      })
    )

    const inProvisioner =
      (name: string, change: (provisioner: Record<string, unknown>) => object) =>
      (config: CaConfig): object => ({
        ...config,
        authority: {
          ...config.authority,
          provisioners: config.authority.provisioners.map((one) =>
            one.name === name ? change({ ...one }) : one
          )
        }
      })

    const repairs: ReadonlyArray<readonly [string, (config: CaConfig) => object, RegExp]> = [
      [
        "another template path",
        inProvisioner("mosaic-fed", (one) => ({
          ...one,
          options: { x509: { templateFile: "/tmp/other.tpl" } }
        })),
        /repaired: ca\.json: \.authority\.provisioners\[0\]\.options\.x509\.templateFile: "\/tmp\/other\.tpl" -> "\/.*\/templates\/federation\.tpl"/
      ],
      [
        "a template of its own in ca.json",
        inProvisioner("mosaic-fed", (one) => ({
          ...one,
          options: { x509: { template: "{{ .Insecure.CR }}" } }
        })),
        /options\.x509\.template: "\{\{ \.Insecure\.CR \}\}" -> removed/
      ],
      [
        "no template at all",
        inProvisioner("mosaic-gateway", ({ options: _options, ...one }) => one),
        /provisioners\[1\]\.options\.x509\.templateFile: absent -> /
      ],
      [
        "renewal allowed",
        inProvisioner("mosaic-fed", (one) => ({ ...one, claims: { disableRenewal: false } })),
        /claims\.disableRenewal: false -> true/
      ],
      [
        "longer certificates",
        inProvisioner("mosaic-fed", (one) => ({
          ...one,
          claims: { ...(one["claims"] as object), maxTLSCertDuration: "8760h" }
        })),
        /claims\.maxTLSCertDuration: "8760h" -> "24h"/
      ],
      [
        "another name for the gateway",
        inProvisioner("mosaic-gateway", (one) => ({
          ...one,
          options: {
            x509: {
              ...(one["options"] as { readonly x509: object }).x509,
              templateData: {
                mosaicGatewayNames: { localhost: "dns", "127.0.0.1": "ip", "evil.example": "dns" }
              }
            }
          }
        })),
        /mosaicGatewayNames\.evil\.example: "dns" -> removed/
      ],
      [
        "no revocation list",
        (config) => ({ ...config, crl: { enabled: false } }),
        /\.crl\.enabled: false -> true/
      ]
    ]
    for (const [what, change, line] of repairs) {
      it.effect(`repairs ${what} in ca.json`, () =>
        Effect.gen(function* () {
          const { stepPath } = yield* FirstBoot
          yield* keepConfig(stepPath)
          const config = readConfig(stepPath)
          const before = filesIn(stepPath)
          writeFileSync(caJson(stepPath), JSON.stringify(change(config)), { mode: 0o600 })
          assert.match(yield* booted(stepPath), line)
          assert.deepStrictEqual(readConfig(stepPath), config)
          const { "config/ca.json": repaired, ...rest } = filesIn(stepPath)
          const { "config/ca.json": original, ...others } = before
          assert.deepStrictEqual(rest, others)
          assert.match(repaired ?? "", /^600 /)
          assert.notStrictEqual(repaired, original)
        })
      )
    }

    it.effect("adds back the CA's own names, and keeps others", () =>
      Effect.gen(function* () {
        const { stepPath } = yield* FirstBoot
        const path = caJson(stepPath)
        const original = yield* keepConfig(stepPath)
        const config = JSON.parse(original) as CaConfig
        writeFileSync(path, JSON.stringify({ ...config, dnsNames: ["ca.example"] }), { mode: 0o600 })
        yield* booted(stepPath, { env: { STEP_CA_DNS: "ca.internal" } })
        assert.deepStrictEqual(readConfig(stepPath).dnsNames, [
          "ca.example",
          "ca.internal",
          "step-ca",
          "localhost",
          "127.0.0.1"
        ])
      })
    )

    it.effect("moves an encryptedKey out of ca.json again, and never over another key", () =>
      Effect.gen(function* () {
        const { stepPath } = yield* FirstBoot
        const path = caJson(stepPath)
        yield* keepConfig(stepPath)
        const config = readConfig(stepPath)
        const jwe = join(stepPath, "gateway", "provisioner_key.jwe")
        const key = read(jwe)
        const sealedWith = (encryptedKey: string) =>
          JSON.stringify(inProvisioner("mosaic-fed", (one) => ({ ...one, encryptedKey }))(config))

        writeFileSync(path, sealedWith(key), { mode: 0o600 })
        rmSync(jwe)
        const said = yield* booted(stepPath)
        assert.match(said, /provisioners\[0\]\.encryptedKey: changed/)
        assert.notInclude(said, key)
        assert.deepStrictEqual(readConfig(stepPath), config)
        assert.deepStrictEqual([read(jwe), modeOf(jwe)], [key, "600"])

        writeFileSync(path, sealedWith("another"), { mode: 0o600 })
        const why = yield* refused(stepPath)
        assert.include(
          why,
          "holds another key than the encryptedKey of mosaic-fed in ca.json, and is not overwritten"
        )
        assert.include(why, "move the older one of the two away")
        assert.strictEqual(read(jwe), key)
      })
    )

    const tamperings: ReadonlyArray<readonly [string, (path: string) => void, RegExp]> = [
      [
        "changed",
        (path) => {
          chmodSync(path, 0o644)
          writeFileSync(path, "{}")
        },
        // The SHA-256 of "{}".
        /differed from the shipped one \(sha256 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\)/
      ],
      ["removed", (path) => rmSync(path), /was missing/],
      [
        "a link to a file elsewhere",
        (path) => {
          rmSync(path)
          symlinkSync(join(infra, "templates", "federation.tpl"), path)
        },
        /was missing/
      ],
      ["writable", (path) => chmodSync(path, 0o644), /had another owner or mode than read-only/]
    ]
    for (const [what, change, why] of tamperings) {
      it.effect(`installs a template again that was ${what}`, () =>
        Effect.gen(function* () {
          const { stepPath } = yield* FirstBoot
          const path = join(stepPath, "templates", "federation.tpl")
          const shipped = sha256(join(infra, "templates", "federation.tpl"))
          change(path)
          const said = yield* booted(stepPath)
          assert.match(said, /repaired: \S+\/templates\/federation\.tpl .*: installed again/)
          assert.match(said, why)
          assert.include(said, `template federation.tpl sha256 ${shipped}`)
          assert.strictEqual(sha256(path), shipped)
          assert.strictEqual(modeOf(path), "444")
          assert.isFalse(existsSync(`${path}.new`))
        })
      )
    }

    it.effect("installs a new version of a template, and says which", () =>
      Effect.gen(function* () {
        const { stepPath } = yield* FirstBoot
        const shipped = join(yield* temporary, "templates")
        mkdirSync(shipped)
        for (const name of templates) copyFileSync(join(infra, "templates", name), join(shipped, name))
        writeFileSync(join(shipped, "federation.tpl"), "{{- /* version 2 */ -}}\n")
        const said = yield* booted(stepPath, { env: { MOSAIC_TEMPLATE_DIR: shipped } })
        const hash = sha256(join(shipped, "federation.tpl"))
        assert.include(said, `template federation.tpl sha256 ${hash}`)
        assert.strictEqual(sha256(join(stepPath, "templates", "federation.tpl")), hash)
        yield* booted(stepPath)
      })
    )

    const refusals: ReadonlyArray<readonly [string, (text: string) => string, string]> = [
      [
        "that is cut off",
        (text) => text.slice(0, text.length / 2),
        "must be the JSON that step-ca reads; restore it"
      ],
      ["that is empty", () => "", "cannot be read: it must be the JSON that step-ca reads"],
      [
        "without provisioners",
        (text) => JSON.stringify({ ...(JSON.parse(text) as object), authority: {} }),
        "has no authority.provisioners: restore ca.json from a backup"
      ],
      [
        "whose provisioners are in the database",
        (text) => text.replace('"authority": {', '"authority": { "enableAdmin": true,'),
        "has authority.enableAdmin"
      ],
      [
        "without a database, in which tokens are spent",
        (text) => JSON.stringify({ ...(JSON.parse(text) as object), db: undefined }),
        "has no db: step-ca would accept a one-time token twice"
      ],
      [
        "with names for every subject",
        (text) => text.replace('"authority": {', '"authority": { "template": { "country": "CH" },'),
        "has authority.template"
      ],
      [
        "whose mosaic-fed is of another type",
        (text) => text.replace('"type": "JWK"', '"type": "ACME"'),
        "that is not of type JWK: rename it"
      ],
      [
        "without mosaic-fed",
        (text) => text.replace('"mosaic-fed"', '"somebody"'),
        "has no JWK provisioner named mosaic-fed (it has: somebody, mosaic-gateway): correct STEP_CA_PROVISIONER"
      ],
      [
        "that lost mosaic-gateway, whose key is there",
        (text) => text.replace('"mosaic-gateway"', '"somebody"'),
        "has no provisioner mosaic-gateway, but its key lies in"
      ]
    ]
    for (const [what, change, why] of refusals) {
      it.effect(`refuses a ca.json ${what}, and overwrites nothing`, () =>
        Effect.gen(function* () {
          const { stepPath } = yield* FirstBoot
          const path = caJson(stepPath)
          const original = yield* keepConfig(stepPath)
          writeFileSync(path, change(original), { mode: 0o600 })
          const before = filesIn(stepPath)
          const said = yield* refused(stepPath)
          assert.deepStrictEqual(filesIn(stepPath), before)
          assert.include(said, path)
          assert.include(said, why)
        })
      )
    }

    for (const [file, why] of [
      ["certs/root_ca.crt", "config/ca.json names, is missing or empty: restore it from a backup"],
      ["certs/intermediate_ca.crt", "config/ca.json names, is missing or empty: restore it from a backup"],
      ["secrets/intermediate_ca_key", "config/ca.json names, is missing or empty: restore it from a backup"],
      ["gateway/provisioner_key.jwe", "is missing or empty, but its password is there"],
      ["gateway/gateway_provisioner_key.jwe", "is missing or empty, but its password is there"]
    ] as const) {
      it.effect(`refuses a CA whose ${file} was lost or emptied`, () =>
        Effect.gen(function* () {
          const { stepPath } = yield* FirstBoot
          const path = join(stepPath, file)
          const content = yield* Effect.acquireRelease(
            Effect.sync(() => readFileSync(path)),
            (bytes) => Effect.sync(() => writeFileSync(path, bytes, { mode: modeNumber(file) }))
          )
          assert.isNotEmpty(content)
          for (const damage of [() => rmSync(path), () => writeFileSync(path, "")]) {
            damage()
            const before = filesIn(stepPath)
            const said = yield* refused(stepPath)
            assert.include(said, path)
            assert.include(said, why)
            assert.deepStrictEqual(filesIn(stepPath), before)
          }
        })
      )
    }

    it.effect("refuses a directory that lost its ca.json", () =>
      Effect.gen(function* () {
        const { stepPath } = yield* FirstBoot
        const path = caJson(stepPath)
        yield* keepConfig(stepPath)
        rmSync(path)
        const before = filesIn(stepPath)
        const said = yield* refused(stepPath)
        assert.deepStrictEqual(filesIn(stepPath), before)
        assert.include(
          said,
          "has no config/ca.json but certs: this is part of another CA, and nothing was overwritten"
        )
        assert.include(said, "restore config/ca.json from a backup, or set STEPPATH to an empty directory")
      })
    )
  })

  it.effect(
    "takes what the environment gives: passwords, names, durations in seconds, arc, name, address",
    () =>
      Effect.gen(function* () {
        const base = yield* temporary
        const stepPath = join(base, "step")
        const passwordFile = (name: string) => {
          const path = join(base, name)
          // With a line end, as editors write it: step and we leave it out.
          writeFileSync(path, `password-of-${name}\n`, { mode: 0o600 })
          return path
        }
        const out = join(base, "for-the-gateway")
        const rootKey = join(base, "root_ca_key")
        const env = {
          STEP_CA_PASSWORD_FILE: passwordFile("the-ca"),
          STEP_CA_PROVISIONER_PASSWORD_FILE: passwordFile("mosaic-fed"),
          MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE: passwordFile("mosaic-gateway"),
          STEP_CA_NAME: "Another Federation",
          STEP_CA_ADDRESS: "127.0.0.2:9443",
          STEP_CA_DNS: "ca.example,10.0.0.7",
          STEP_CA_PROVISIONER: "grants",
          MOSAIC_CERT_MIN: "2s",
          MOSAIC_CERT_DEFAULT: "90s",
          MOSAIC_CERT_MAX: "1h30m",
          MOSAIC_OID_ARC: "1.3.6.1.4.1.32473",
          MOSAIC_GATEWAY_NAMES: "gateway.example, ::1",
          MOSAIC_GATEWAY_SECRETS_DIR: out,
          MOSAIC_ROOT_KEY_OUT: rootKey
        }
        yield* booted(stepPath, { env })
        const config = readConfig(stepPath)
        assert.deepStrictEqual(config.dnsNames, [
          "ca.example",
          "10.0.0.7",
          "step-ca",
          "localhost",
          "127.0.0.1",
          "127.0.0.2"
        ])
        assert.strictEqual(config.address, "127.0.0.2:9443")
        const federation = provisionerOf(config, "grants")
        assert.deepStrictEqual(federation.claims, {
          minTLSCertDuration: "2s",
          defaultTLSCertDuration: "90s",
          maxTLSCertDuration: "1h30m",
          disableRenewal: true
        })
        assert.deepStrictEqual(federation.options.x509.templateData, { mosaicOidArc: "1.3.6.1.4.1.32473" })
        const gateway = provisionerOf(config, "mosaic-gateway")
        assert.deepStrictEqual(gateway.options.x509.templateData, {
          mosaicGatewayNames: { "gateway.example": "dns", "::1": "ip" }
        })
        assert.strictEqual(gateway.claims["minTLSCertDuration"], "2s")

        const key = yield* openKey(join(stepPath, "gateway", "provisioner_key.jwe"), "password-of-mosaic-fed")
        assert.strictEqual(key.kid, federation.key.kid)
        const gatewayKeyPath = join(stepPath, "gateway", "gateway_provisioner_key.jwe")
        const gatewayKey = yield* openKey(gatewayKeyPath, "password-of-mosaic-gateway")
        assert.strictEqual(gatewayKey.kid, gateway.key.kid)
        const caKey = { key: read(rootKey), passphrase: "password-of-the-ca" }
        assert.strictEqual(createPrivateKey(caKey).asymmetricKeyType, "ec")

        assert.deepStrictEqual(Object.keys(filesIn(stepPath)), [
          ".mosaic-init.lock",
          "certs/intermediate_ca.crt",
          "certs/root_ca.crt",
          "config/ca.json",
          "config/defaults.json",
          "gateway/gateway_provisioner_key.jwe",
          "gateway/provisioner_key.jwe",
          "gateway/root_ca.crt",
          "secrets/intermediate_ca_key",
          "templates/federation.tpl",
          "templates/gateway.tpl"
        ])
        assert.deepStrictEqual(
          Object.entries(filesIn(out)).map(([path, text]) => [path, text.split(" ")[0]]),
          [
            ["gateway_provisioner_key.jwe", "600"],
            ["provisioner_key.jwe", "600"],
            ["root_ca.crt", "644"]
          ]
        )
        assert.strictEqual(modeOf(rootKey), "600")

        const before = filesIn(base)
        yield* booted(stepPath, { env })
        assert.deepStrictEqual(filesIn(base), before)
      })
  )

  it.effect("never sees a private key that is kept elsewhere", () =>
    Effect.gen(function* () {
      const base = yield* temporary
      const stepPath = join(base, "step")
      const [federationKey, gatewayKey] = yield* Effect.promise(() =>
        Promise.all([makeProvisionerKey("EdDSA"), makeProvisionerKey("ES384")])
      )
      const [federationPath, gatewayPath] = [join(base, "federation.json"), join(base, "gateway.json")]
      writeFileSync(federationPath, JSON.stringify(publicHalf(federationKey)))
      writeFileSync(gatewayPath, JSON.stringify(publicHalf(gatewayKey)))
      yield* booted(stepPath, {
        env: {
          MOSAIC_PROVISIONER_JWK_FILE: federationPath,
          MOSAIC_GATEWAY_PROVISIONER_JWK_FILE: gatewayPath
        }
      })
      const config = readConfig(stepPath)
      assert.deepStrictEqual(provisionerOf(config, "mosaic-fed").key, publicHalf(federationKey))
      assert.deepStrictEqual(provisionerOf(config, "mosaic-gateway").key, publicHalf(gatewayKey))
      assert.notInclude(read(caJson(stepPath)), "encryptedKey")
      assert.deepStrictEqual(Object.keys(filesIn(join(stepPath, "gateway"))), ["root_ca.crt"])
    })
  )

  it.effect("adds mosaic-gateway to a CA that has none", () =>
    Effect.gen(function* () {
      const stepPath = join(yield* temporary, "step")
      yield* booted(stepPath)
      const config = readConfig(stepPath)
      const before = {
        ...config,
        authority: { ...config.authority, provisioners: [config.authority.provisioners[0]] }
      }
      writeFileSync(caJson(stepPath), JSON.stringify(before), { mode: 0o600 })
      for (const file of ["gateway_provisioner_key.jwe", "gateway_provisioner_password"]) {
        rmSync(join(stepPath, "gateway", file))
      }
      assert.include(yield* booted(stepPath), "added: provisioner mosaic-gateway")
      const after = readConfig(stepPath)
      const gateway = provisionerOf(after, "mosaic-gateway")
      const { key: _, ...rest } = gateway
      const { key: _key, ...former } = provisionerOf(config, "mosaic-gateway")
      assert.deepStrictEqual(rest, former)
      const password = read(join(stepPath, "gateway", "gateway_provisioner_password"))
      const opened = yield* openKey(join(stepPath, "gateway", "gateway_provisioner_key.jwe"), password)
      assert.strictEqual(opened.kid, gateway.key.kid)
    })
  )

  const environments: ReadonlyArray<readonly [Readonly<Record<string, string>>, string]> = [
    [{ STEPPATH: "" }, "STEPPATH is not set: set it to the directory of the CA"],
    [
      { MOSAIC_CERT_MIN: "5" },
      "MOSAIC_CERT_MIN=5 is not a duration: write hours, minutes, seconds such as 24h"
    ],
    [{ MOSAIC_CERT_MAX: "1d" }, "MOSAIC_CERT_MAX=1d is not a duration"],
    [{ MOSAIC_CERT_MAX: "0s" }, "MOSAIC_CERT_MAX=0s is not a duration"],
    [{ MOSAIC_CERT_MIN: "25h" }, "MOSAIC_CERT_MIN=25h is longer than MOSAIC_CERT_DEFAULT=24h"],
    [{ MOSAIC_CERT_DEFAULT: "48h" }, "MOSAIC_CERT_DEFAULT=48h is longer than MOSAIC_CERT_MAX=24h"],
    [
      { MOSAIC_GATEWAY_NAMES: "*.example.org" },
      "MOSAIC_GATEWAY_NAMES: '*.example.org' is neither a DNS name"
    ],
    [{ MOSAIC_GATEWAY_NAMES: "," }, "MOSAIC_GATEWAY_NAMES holds no name"],
    [{ STEP_CA_DNS: "Example.org" }, "STEP_CA_DNS: 'Example.org' is neither a DNS name in lower case"],
    [{ STEP_CA_ADDRESS: "9000" }, "STEP_CA_ADDRESS=9000 is not host:port"],
    [{ STEP_CA_PROVISIONER: "mosaic-gateway" }, "is the name of the gateway's own provisioner"],
    [{ MOSAIC_OID_ARC: "1.3.06" }, "MOSAIC_OID_ARC=1.3.06 is not an object identifier"],
    [{ STEP_CA_PASSWORD_FILE: "/dev/null" }, "STEP_CA_PASSWORD_FILE=/dev/null is not a readable file"],
    [{ MOSAIC_TEMPLATE_DIR: "/nowhere" }, "/nowhere/federation.tpl is missing, empty or unreadable"]
  ]
  for (const [env, why] of environments) {
    it.effect(`refuses ${JSON.stringify(env)} before it writes anything`, () =>
      Effect.gen(function* () {
        const stepPath = join(yield* temporary, "step")
        assert.include(yield* refused(stepPath, { env }), why)
        assert.isFalse(existsSync(stepPath))
      })
    )
  }

  it.effect("refuses an empty password, and warns of a short one", () =>
    Effect.gen(function* () {
      const base = yield* temporary
      const path = join(base, "password")
      const env = { STEP_CA_PROVISIONER_PASSWORD_FILE: path, MOSAIC_TEMPLATE_DIR: "/nowhere" }
      writeFileSync(path, " \n")
      assert.include(
        yield* refused(join(base, "step"), { env }),
        `${path} is empty: write the password into it`
      )
      writeFileSync(path, "hunter2")
      const said = yield* refused(join(base, "step"), { env })
      assert.include(
        said,
        "warning: the password in STEP_CA_PROVISIONER_PASSWORD_FILE has fewer than 16 characters"
      )
      assert.notInclude(said, "hunter2")
    })
  )

  const jwks: ReadonlyArray<readonly [string, (key: JWK) => unknown, string]> = [
    [
      "a private key",
      (key) => key,
      "holds a private key, which step-ca would show to everyone at GET /provisioners"
    ],
    [
      "a key without kid",
      ({ kid: _kid, ...key }) => publicHalf(key),
      "has no kid, by which step-ca finds the key"
    ],
    ["a set of keys", (key) => ({ keys: [publicHalf(key)] }), "is a JWK set: write its one key alone"],
    [
      "a symmetric key",
      () => ({ kty: "oct", kid: "k", k: "A".repeat(43) }),
      "use an EC, OKP or RSA key, or set STEP_CA_ALLOW_SYMMETRIC_KEY=true"
    ]
  ]
  for (const [what, make, why] of jwks) {
    it.effect(`refuses ${what} as the public half of a key that is kept elsewhere`, () =>
      Effect.gen(function* () {
        const base = yield* temporary
        const path = join(base, "key.json")
        const key = yield* Effect.promise(() => makeProvisionerKey("ES256"))
        writeFileSync(path, JSON.stringify(make(key)))
        const said = yield* refused(join(base, "step"), { env: { MOSAIC_PROVISIONER_JWK_FILE: path } })
        assert.include(said, `MOSAIC_PROVISIONER_JWK_FILE=${path} `)
        assert.include(said, why)
        assert.notInclude(said, key.d ?? "no d")
      })
    )
  }

  const programs: ReadonlyArray<readonly [string, Readonly<Record<string, string>>, ReadonlyArray<string>]> =
    [
      ["jq", { JQ_BIN: "" }, ["init"]],
      ["step", { STEP_BIN: "" }, ["init"]],
      ["step-ca", { STEP_CA_BIN: "" }, []]
    ]
  const remedies: Readonly<Record<string, string>> = {
    jq: "jq is not on PATH: install jq or gojq (the same command builds gojq), or set JQ_BIN to its path",
    step: "step is not on PATH: build it with the command in infra/step-ca/README.md (Go 1.25.8 or newer), or set STEP_BIN to its path",
    "step-ca":
      "step-ca is not on PATH: build it with the command in infra/step-ca/README.md (Go 1.25.8 or newer), or set STEP_CA_BIN to its path"
  }
  for (const [name, env, args] of programs) {
    it.effect(`says what to install where there is no ${name}`, () =>
      Effect.gen(function* () {
        const stepPath = join(yield* temporary, "step")
        const PATH = yield* pathWithout()
        assert.include(yield* refused(stepPath, { args, env: { PATH, ...env } }), remedies[name] ?? "")
        assert.isFalse(existsSync(stepPath))
      })
    )
  }

  it.effect("starts nothing before a CA is set up, and knows no other arguments", () =>
    Effect.gen(function* () {
      const stepPath = join(yield* temporary, "step")
      assert.include(
        yield* refused(stepPath, { args: ["start"] }),
        `no CA in ${stepPath}: run init.sh init first`
      )
      const { code, stderr } = yield* boot(stepPath, { args: ["begin"] })
      assert.strictEqual(code, 2)
      assert.include(stderr, "usage: init.sh")
    })
  )
})
