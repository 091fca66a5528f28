/** No lie of a CA gets a certificate handed out: each is withheld, named, recorded, and its serial revoked. */
import { assert, describe, layer } from "@effect/vitest"
import { type Grant, NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import { UserId } from "@mosaic-federation/domain/UserId"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import {
  grantExtension,
  type HostileCa,
  hostileCa,
  type LeafDraft,
  type Lie
} from "@mosaic-federation/testing/HostileCa"
import * as x509 from "@peculiar/x509"
import { Context, DateTime, Duration, Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { GrantRepo } from "../src/GrantRepo.ts"
import { Issuance } from "../src/Issuance.ts"
import { issuanceOver, layerRecords, settingsFor } from "./support/issuanceOver.ts"

class Liar extends Context.Service<Liar, HostileCa>()("test/Liar") {}

const layerLiar = Layer.effect(Liar, hostileCa())

const layerIssuance = Layer.unwrap(
  Effect.gen(function* () {
    const ca = yield* Liar
    return issuanceOver(yield* settingsFor(ca, { totalTimeout: Duration.seconds(1) }))
  })
).pipe(Layer.provideMerge(layerRecords), Layer.provideMerge(layerLiar))

const userId = UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7")
const otherId = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
const grantOid = "1.3.6.1.4.1.99999.1"
const userOid = "1.3.6.1.4.1.99999.2"

const makeGrant = (expiresIn: Duration.Input = "30 days") =>
  Effect.gen(function* () {
    const grants = yield* GrantRepo
    const now = yield* DateTime.now
    return yield* grants.create(
      new NewGrant({
        subjectUserId: userId,
        peer: PeerName.make("gateway.example"),
        scopes: ["orders:read"],
        expiresAt: DateTime.addDuration(now, expiresIn)
      })
    )
  })

const issueFor = (grant: Grant) =>
  Effect.gen(function* () {
    const issuance = yield* Issuance
    const { pem } = yield* makeCsr("P-256")
    return yield* issuance.issue(
      new IssueCertRequest({ grantId: grant.id, subjectUserId: userId, csrPem: pem })
    )
  })

const recordsOf = (grant: Grant) => GrantRepo.use((grants) => grants.certificates({ grantId: grant.id }))

const withExtensions = (
  draft: LeafDraft,
  change: (extension: x509.Extension) => ReadonlyArray<x509.Extension>
): LeafDraft => ({
  ...draft,
  extensions: draft.extensions.flatMap(change)
})

const replace =
  (oid: string, ...by: ReadonlyArray<x509.Extension>) =>
  (draft: LeafDraft): LeafDraft =>
    withExtensions(draft, (extension) => (extension.type === oid ? by : [extension]))

const add =
  (...more: ReadonlyArray<x509.Extension>) =>
  (draft: LeafDraft): LeafDraft => ({ ...draft, extensions: [...draft.extensions, ...more] })

const otherName = new x509.SubjectAlternativeNameExtension([{ type: "url", value: `urn:uuid:${otherId}` }])

/** What the CA does to the leaf, and the field that must be named for it. */
const lies: ReadonlyArray<readonly [string, NonNullable<Lie["leaf"]>, RegExp]> = [
  ["leaves the grant id out", replace(grantOid), /1\.3\.6\.1\.4\.1\.99999\.1.*(absent|missing|none)/i],
  ["writes another grant id", replace(grantOid, grantExtension(grantOid, otherId)), /99999\.1.*3f2504e0/i],
  [
    "writes the grant id twice",
    add(grantExtension(grantOid, otherId)),
    /99999\.1.*(once|twice|duplicate|2)/i
  ],
  [
    "marks the grant id critical",
    (draft) =>
      withExtensions(draft, (extension) =>
        extension.type === grantOid
          ? [
              grantExtension(grantOid, Buffer.from(extension.value).subarray(2).toString(), {
                critical: true
              })
            ]
          : [extension]
      ),
    /99999\.1.*critical/i
  ],
  [
    "writes a PrintableString",
    (draft) =>
      withExtensions(draft, (extension) =>
        extension.type === grantOid
          ? [
              grantExtension(grantOid, "", {
                der: Buffer.concat([Buffer.from([0x13]), Buffer.from(extension.value).subarray(1)])
              })
            ]
          : [extension]
      ),
    /99999\.1.*13/i
  ],
  [
    "writes what the plain template writes",
    replace(grantOid, grantExtension(grantOid, "", { der: Buffer.from("\x0c\x24%!s(<nil>)", "latin1") })),
    /99999\.1/
  ],
  ["leaves the subject user out", replace(userOid), /99999\.2.*(absent|missing|none)/i],
  ["writes another subject user", replace(userOid, grantExtension(userOid, otherId)), /99999\.2.*3f2504e0/i],
  [
    "counts the serial on",
    (draft) => ({
      ...draft,
      serialHex: (BigInt(`0x${draft.serialHex}`) + 1n).toString(16).padStart(32, "0")
    }),
    /serialNumber/
  ],
  ["names another subject", (draft) => ({ ...draft, subject: `CN=${otherId}` }), /subject/],
  ["adds to the subject", (draft) => ({ ...draft, subject: `${draft.subject}, O=Example` }), /subject/],
  ["names another URI", replace("2.5.29.17", otherName), /subjectAltName/],
  [
    "adds a DNS name",
    (draft) =>
      replace(
        "2.5.29.17",
        new x509.SubjectAlternativeNameExtension([
          { type: "url", value: `urn:uuid:${draft.subject.slice(3)}` },
          { type: "dns", value: "example.com" }
        ])
      )(draft),
    /subjectAltName/
  ],
  [
    "allows serverAuth too",
    replace(
      "2.5.29.37",
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth, x509.ExtendedKeyUsage.serverAuth])
    ),
    /extendedKeyUsage|extKeyUsage/i
  ],
  [
    "allows keyCertSign",
    replace(
      "2.5.29.15",
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign, true)
    ),
    /keyUsage/i
  ],
  ["makes it a CA", add(new x509.BasicConstraintsExtension(true, undefined, true)), /basicConstraints/i],
  [
    "adds an extension",
    add(new x509.Extension("1.2.3.4", false, new Uint8Array([5, 0]).buffer)),
    /1\.2\.3\.4/
  ],
  [
    "makes it live a second longer",
    (draft) => ({ ...draft, notAfter: new Date(draft.notAfter.getTime() + 1000) }),
    /notAfter/
  ],
  [
    "dates it back an hour",
    (draft) => ({ ...draft, notBefore: new Date(draft.notBefore.getTime() - 3_600_000) }),
    /notBefore/
  ]
]

describe("Issuance over a CA that lies", () => {
  layer(layerIssuance, { excludeTestServices: true })((it) => {
    it.effect("hands out what an honest CA signs, and only after it is on record", () =>
      Effect.gen(function* () {
        const ca = yield* Liar
        ca.tell({})
        const grant = yield* makeGrant()
        const issued = yield* issueFor(grant)
        const [record] = yield* recordsOf(grant)
        assert.strictEqual(record?.state, "issued")
        assert.strictEqual(record?.serial, issued.serial)
        assert.strictEqual(record?.fullChainPem, issued.fullChainPem)
        assert.strictEqual(issued.chain.length, 1)
        assert.match(issued.serial, /^[1-9][0-9]{18,38}$/)
      })
    )

    for (const [what, leaf, field] of lies) {
      it.effect(`withholds it when the CA ${what}`, () =>
        Effect.gen(function* () {
          const ca = yield* Liar
          ca.tell({ leaf })
          const grant = yield* makeGrant()
          const error = yield* Effect.flip(issueFor(grant))
          assert.strictEqual(error.code, "CERTIFICATE_WITHHELD")
          assert.match(error.message, field)
          assert.include(error.remediation, "check the template that the CA uses")
          const [record] = yield* recordsOf(grant)
          assert.deepStrictEqual(
            [record?.state, record?.errorCode, record?.fullChainPem],
            ["withheld", "CERTIFICATE_WITHHELD", null]
          )
          assert.isNotNull(record?.revokedAtCa)
          assert.strictEqual(ca.revokedSerials.at(-1), record?.serial)
        })
      )
    }

    it.effect(
      "withholds a certificate that is another key's, signed by another key, and says so of each",
      () =>
        Effect.gen(function* () {
          const ca = yield* Liar
          ca.tell({
            leaf: (draft) => ({
              ...draft,
              publicKey: ca.otherKeys.publicKey,
              signingKey: ca.otherKeys.privateKey
            })
          })
          const error = yield* Effect.flip(issueFor(yield* makeGrant()))
          assert.strictEqual(error.code, "CERTIFICATE_WITHHELD")
          assert.match(error.message, /subjectPublicKey/)
          assert.match(error.message, /chain|signature/)
        })
    )

    it.effect("says so when the withheld certificate could not be revoked", () =>
      Effect.gen(function* () {
        const ca = yield* Liar
        ca.tell({
          leaf: (draft) => ({ ...draft, subject: "CN=x" }),
          revoke: { status: 403, body: '{"message":"no"}' }
        })
        const grant = yield* makeGrant()
        const error = yield* Effect.flip(issueFor(grant))
        assert.strictEqual(error.code, "CERTIFICATE_WITHHELD")
        assert.include(error.message, "could not be revoked at the CA and stays on record as withheld")
        const [record] = yield* recordsOf(grant)
        assert.deepStrictEqual([record?.state, record?.revokedAtCa], ["withheld", null])
      })
    )

    it.effect("accepts an answer without certChain, made of crt and ca", () =>
      Effect.gen(function* () {
        const ca = yield* Liar
        ca.tell({ signed: ({ ca: issuer, crt }) => ({ crt, ca: issuer }) })
        const issued = yield* issueFor(yield* makeGrant())
        assert.strictEqual(issued.chain.length, 1)
      })
    )

    it.effect("accepts an answer whose certChain is empty or holds the leaf alone, when ca is there", () =>
      Effect.gen(function* () {
        const ca = yield* Liar
        ca.tell({ signed: ({ ca: issuer, crt }) => ({ crt, ca: issuer, certChain: [] }) })
        assert.strictEqual((yield* issueFor(yield* makeGrant())).chain.length, 1)
        ca.tell({ signed: ({ ca: issuer, crt }) => ({ crt, ca: issuer, certChain: [crt] }) })
        assert.strictEqual((yield* issueFor(yield* makeGrant())).chain.length, 1)
      })
    )

    it.effect("withholds a certificate without its issuer and revokes it", () =>
      Effect.gen(function* () {
        const ca = yield* Liar
        ca.tell({ signed: ({ crt }) => ({ crt }) })
        const grant = yield* makeGrant()
        const error = yield* Effect.flip(issueFor(grant))
        assert.strictEqual(error.code, "CA_CHAIN_MISSING")
        assert.include(error.message, '201 without "certChain" and without "ca"')
        assert.include(error.remediation, "step-ca version")
        const [record] = yield* recordsOf(grant)
        assert.strictEqual(ca.revokedSerials.at(-1), record?.serial)
      })
    )

    it.effect("revokes the serial of a lost answer before it asks again with another one", () =>
      Effect.gen(function* () {
        const ca = yield* Liar
        const before = ca.signRequests.length
        ca.tell({ answer: (attempt) => (attempt === before + 1 ? "reset" : "honest") })
        const grant = yield* makeGrant()
        const issued = yield* issueFor(grant)
        const records = yield* recordsOf(grant)
        const lost = records.find(({ state }) => state === "ambiguous")
        assert.strictEqual(records.length, 2)
        assert.strictEqual(records.find(({ state }) => state === "issued")?.serial, issued.serial)
        assert.notStrictEqual(lost?.serial, issued.serial)
        assert.strictEqual(lost?.errorCode, "CA_CONNECTION_RESET")
        assert.isNotNull(lost?.revokedAtCa)
        assert.strictEqual(ca.revokedSerials.at(-1), lost?.serial)
      })
    )

    it.effect("does not ask again while the lost serial may live, and says until when", () =>
      Effect.gen(function* () {
        const ca = yield* Liar
        const before = ca.signRequests.length
        ca.tell({ answer: "reset", revoke: { status: 403, body: '{"message":"no"}' } })
        const grant = yield* makeGrant()
        const error = yield* Effect.flip(issueFor(grant))
        assert.strictEqual(error.code, "ISSUANCE_AMBIGUOUS")
        const [record] = yield* recordsOf(grant)
        assert.include(error.message, `a certificate of serial ${record?.serial} may exist and is dead by`)
        assert.include(
          error.remediation,
          `mosaic federation cert revoke ${record?.serial} --reason "answer lost"`
        )
        assert.strictEqual(record?.state, "ambiguous")
        assert.strictEqual(ca.signRequests.length, before + 1)
      })
    )

    const unusable: ReadonlyArray<readonly [string, Lie, string, string, string]> = [
      [
        "is not JSON",
        { answer: { status: 201, body: "<html>" } },
        "CA_RESPONSE_NOT_JSON",
        "201 with a body that is not JSON",
        "names step-ca itself"
      ],
      [
        "is empty",
        { answer: { status: 201, body: "" } },
        "CA_RESPONSE_EMPTY",
        "201 without a body",
        "names step-ca itself"
      ],
      [
        "has the wrong shape",
        { answer: { status: 201, body: '{"crt":1}' } },
        "CA_RESPONSE_SHAPE",
        '"crt", "ca" or "certChain"',
        "step-ca version"
      ],
      [
        "contradicts itself",
        { signed: ({ ca: issuer, crt }) => ({ crt: issuer, certChain: [crt, issuer] }) },
        "CA_RESPONSE_SHAPE",
        "differ",
        "step-ca version"
      ],
      [
        "is a redirect",
        { answer: { status: 307, headers: { location: "https://localhost:1/" }, body: "{}" } },
        "CA_REDIRECTED",
        "307",
        "the CA's own address"
      ],
      ["never comes", { answer: "hang" }, "CA_TIMEOUT", "no complete answer", "try again"],
      [
        "is 503",
        { answer: { status: 503, body: "{}" } },
        "CA_INTERNAL_ERROR",
        "503 (X-Request-Id hostile-1)",
        "CA's log: hostile-1"
      ],
      [
        "is 204",
        { answer: { status: 202, body: "{}" } },
        "CA_UNEXPECTED_STATUS",
        "202 (X-Request-Id hostile-1)",
        "names step-ca itself"
      ]
    ]
    for (const [what, lie, code, message, remediation] of unusable) {
      it.effect(`revokes the serial when the answer ${what}`, () =>
        Effect.gen(function* () {
          const ca = yield* Liar
          ca.tell(lie)
          const grant = yield* makeGrant()
          const error = yield* Effect.flip(issueFor(grant))
          assert.strictEqual(error.code, code)
          assert.include(error.message, message)
          assert.include(error.remediation, remediation)
          for (const record of yield* recordsOf(grant)) {
            assert.deepStrictEqual([record.state, record.errorCode], ["ambiguous", code])
            assert.include(ca.revokedSerials, record.serial)
          }
        })
      )
    }

    const refusals: ReadonlyArray<readonly [string, Lie, string, string, string]> = [
      [
        "400",
        { answer: { status: 400, body: '{"message":"no\\nsense"}' } },
        "CA_BAD_REQUEST",
        "400: no sense (X-Request-Id hostile-1)",
        "CA's log: hostile-1"
      ],
      [
        "400 of our template",
        { answer: { status: 400, body: '{"message":"mosaic-template: claim mosaic_serial is absent"}' } },
        "CA_TEMPLATE_REFUSED",
        "claim mosaic_serial is absent",
        "run init.sh again"
      ],
      [
        "403",
        { answer: { status: 403, body: '{"message":"too long"}' } },
        "CA_FORBIDDEN",
        "403: too long",
        "GET /provisioners"
      ],
      [
        "404",
        { answer: { status: 404, body: "nothing here" } },
        "CA_NOT_FOUND",
        "404 at https://localhost",
        "without a path"
      ],
      [
        "429",
        { answer: { status: 429, headers: { "retry-after": "60" }, body: "{}" } },
        "CA_RATE_LIMITED",
        "Retry-After 60 s",
        "in 60 s"
      ]
    ]
    for (const [what, lie, code, message, remediation] of refusals) {
      it.effect(`reports ${what}, asks once and revokes nothing`, () =>
        Effect.gen(function* () {
          const ca = yield* Liar
          const [asked, revoked] = [ca.signRequests.length, ca.revokedSerials.length]
          ca.tell(lie)
          const grant = yield* makeGrant()
          const error = yield* Effect.flip(issueFor(grant))
          assert.strictEqual(error.code, code)
          assert.include(error.message, message)
          assert.include(error.remediation, remediation)
          const [record] = yield* recordsOf(grant)
          assert.deepStrictEqual([record?.state, record?.errorCode], ["refused", code])
          assert.deepStrictEqual([ca.signRequests.length, ca.revokedSerials.length], [asked + 1, revoked])
        })
      )
    }

    it.effect("tries a passing 429 again with a fresh token each time", () =>
      Effect.gen(function* () {
        const ca = yield* Liar
        const before = ca.signRequests.length
        ca.tell({ answer: (attempt) => (attempt <= before + 2 ? { status: 429, body: "{}" } : "honest") })
        yield* issueFor(yield* makeGrant())
        const tokens = ca.signRequests.slice(before).map(({ claims }) => claims.jti)
        assert.strictEqual(tokens.length, 3)
        assert.strictEqual(new Set(tokens).size, 3)
      })
    )

    it.effect("lets a revocation win that commits while the CA signs", () =>
      Effect.gen(function* () {
        const ca = yield* Liar
        const grants = yield* GrantRepo
        const grant = yield* makeGrant()
        ca.tell({ beforeAnswer: () => Effect.runPromise(Effect.asVoid(grants.revoke(grant.id, "key lost"))) })
        const error = yield* Effect.flip(issueFor(grant))
        assert.strictEqual(error.code, "GRANT_ENDED_IN_FLIGHT")
        assert.include(error.message, "became revoked during the issuance")
        assert.include(error.message, "withheld and revoked at the CA")
        assert.include(error.remediation, `mosaic federation grant show ${grant.id}`)
        const [record] = yield* recordsOf(grant)
        assert.deepStrictEqual([record?.state, record?.fullChainPem], ["withheld", null])
        assert.strictEqual(ca.revokedSerials.at(-1), record?.serial)
      })
    )

    it.effect(
      "issues anew when the grant's end is moved while the CA signs, and tells of it at the second time",
      () =>
        Effect.gen(function* () {
          const ca = yield* Liar
          const sql = yield* SqlClient
          const grant = yield* makeGrant()
          const now = yield* DateTime.now
          const endIn = (minutes: number) => DateTime.add(now, { minutes })
          const move = (minutes: number) =>
            Effect.asVoid(
              sql`UPDATE federation_grants SET expires_at = ${DateTime.toDateUtc(endIn(minutes))} WHERE id = ${grant.id}`
            )
          const ends = [120]
          ca.tell({
            beforeAnswer: () => {
              const end = ends.shift()
              return end === undefined ? Promise.resolve() : Effect.runPromise(move(end))
            }
          })
          const issued = yield* issueFor(grant)
          assert.isTrue(DateTime.isLessThanOrEqualTo(issued.notAfter, endIn(120)))
          const overtaken = (yield* recordsOf(grant)).filter(({ state }) => state !== "issued")
          assert.deepStrictEqual(
            overtaken.map(({ errorCode, state }) => [state, errorCode]),
            [["withheld", "ISSUANCE_OVERTAKEN"]]
          )
          assert.isNotNull(overtaken[0]?.revokedAtCa)
          assert.strictEqual(ca.revokedSerials.at(-1), overtaken[0]?.serial)

          ends.push(90, 60)
          const error = yield* Effect.flip(issueFor(grant))
          assert.strictEqual(error.code, "ISSUANCE_OVERTAKEN")
          assert.include(
            error.message,
            `the grant's end was moved to ${DateTime.formatIso(endIn(60))} meanwhile`
          )
          assert.include(error.message, "is withheld and revoked at the CA")
          assert.include(error.remediation, "ask again")
          assert.isTrue(error.retryable)
        })
    )

    it.effect("settles the serial when it is interrupted while the CA signs", () =>
      Effect.gen(function* () {
        const ca = yield* Liar
        const grant = yield* makeGrant()
        const issuance = yield* Effect.forkChild(issueFor(grant))
        const arrived = yield* Effect.promise(
          () =>
            new Promise<boolean>((resolve) => {
              ca.tell({ beforeAnswer: () => new Promise(() => resolve(true)) })
            })
        )
        assert.isTrue(arrived)
        yield* Fiber.interrupt(issuance)
        const [record] = yield* recordsOf(grant)
        assert.deepStrictEqual([record?.state, record?.errorCode], ["ambiguous", "INTERRUPTED"])
        assert.strictEqual(ca.revokedSerials.at(-1), record?.serial)
      })
    )
  })
})
