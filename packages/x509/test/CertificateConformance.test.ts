/** The certificate that was asked for passes; every other one is refused by the field that is wrong, with what it holds. */
import "reflect-metadata"
import { generateKeyPairSync } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as x509 from "@peculiar/x509"
import { Result } from "effect"
import {
  type Asked,
  check,
  checks,
  evaluate,
  type Issued,
  type Mismatch,
  type Trust
} from "../src/CertificateConformance.ts"
import {
  bitString,
  boolean,
  element,
  integer,
  membersOf,
  nothing,
  octetString,
  oid,
  printable,
  sequence,
  set,
  utf8
} from "./support/Der.ts"
import { mutation, octets } from "./support/Mutation.ts"
import {
  caConstraints,
  extension,
  grantId,
  keyUsages,
  type LeafOptions,
  makeIntermediate,
  makeKeys,
  makeLeaf,
  makeRoot,
  notAfter,
  now,
  oids,
  otherId,
  parsed,
  requestedAt,
  rewritten,
  serial,
  spkiOf,
  subjectUserId,
  uuidValue
} from "./support/Pki.ts"

const root = await makeRoot()
const intermediate = await makeIntermediate(root)
const keys = await makeKeys()
const leaf = await makeLeaf(intermediate, keys.publicKey)

const trust: Trust = { roots: [root.certificate], oids, now }

const asked: Asked & Trust = {
  ...trust,
  grantId,
  subjectUserId,
  csrSpki: await spkiOf(keys.publicKey),
  serial,
  notAfter,
  grantExpiresAt: new Date("2026-03-05T00:00:00.000Z"),
  maxLifetimeMillis: 24 * 3_600_000,
  requestedAt,
  backdateMillis: 60_000,
  skewMillis: 30_000
}

const issued = (der: Uint8Array): Issued => ({ leaf: der, chain: [intermediate.certificate.der] })

const mismatches = (found: Issued, expected: Asked & Trust = asked): ReadonlyArray<Mismatch> => {
  const checked = check(found, expected)
  assert(Result.isFailure(checked))
  assert.isNotEmpty(checked.failure)
  return checked.failure
}

const made = (options: LeafOptions) => makeLeaf(intermediate, keys.publicKey, options)

describe("The certificate that was asked for", () => {
  it("passes, in DER and in PEM, with and without the root in its chain", () => {
    const pem = parsed(leaf).pem
    const chainPem = `${intermediate.certificate.pem}${root.certificate.pem}`
    for (const found of [
      issued(leaf),
      { leaf: pem, chain: [intermediate.certificate.pem] },
      { leaf: pem, chain: [chainPem] },
      { leaf, chain: [intermediate.certificate.der, root.certificate.der] }
    ]) {
      const checked = check(found, asked)
      assert.deepStrictEqual(
        checked,
        Result.succeed({
          grantId,
          subjectUserId,
          leaf: parsed(leaf),
          chain: [intermediate.certificate],
          root: root.certificate
        })
      )
    }
  })

  it("passes every check, none of them for want of something to compare", () => {
    const evaluations = evaluate({ leaf: parsed(leaf), chain: [intermediate.certificate] }, asked, trust)
    assert.deepStrictEqual(
      evaluations.map(({ field, outcome }) => [field, outcome]),
      checks.map(({ field }) => [field(oids), "ok"])
    )
  })

  const also: ReadonlyArray<readonly [string, LeafOptions]> = [
    ["cA FALSE stated", { added: [new x509.BasicConstraintsExtension(false, undefined, true)] }],
    [
      "no key identifiers",
      { replaced: { subjectKeyIdentifier: undefined, authorityKeyIdentifier: undefined } }
    ],
    ["step-ca's provisioner extension", { added: [extension("1.3.6.1.4.1.37476.9000.64.1", sequence())] }],
    ["a notAfter earlier than asked", { notAfter: new Date("2026-03-01T13:00:00.000Z") }],
    ["the earliest notBefore", { notBefore: new Date("2026-03-01T11:58:30.000Z") }],
    ["the latest notBefore", { notBefore: new Date("2026-03-01T12:00:02.000Z") }],
    ["a signature with SHA-384", { hash: "SHA-384" }]
  ]
  for (const [what, options] of also) {
    it(`also passes with ${what}`, async () => {
      assert(Result.isSuccess(check(issued(await made(options)), asked)))
    })
  }

  it("passes on the very second of each limit", () => {
    const limits = {
      ...asked,
      grantExpiresAt: notAfter,
      maxLifetimeMillis: notAfter.getTime() - requestedAt.getTime()
    }
    assert(Result.isSuccess(check(issued(leaf), limits)))
    assert(Result.isSuccess(check(issued(leaf), { ...limits, now: notAfter })))
  })
})

const san = (...names: x509.JsonGeneralNames) => new x509.SubjectAlternativeNameExtension(names)
const uri = `urn:uuid:${grantId}`

const grantField = `extension ${oids.grantId} (grantId)`
const userField = `extension ${oids.subjectUserId} (subjectUserId)`
const onceGrant = `once, not critical, 0C 24 "${grantId}"`
const onceUser = `once, not critical, 0C 24 "${subjectUserId}"`
const none = "no other, and none twice"
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex").toUpperCase()

const grantValue = (value: Uint8Array) => ({ replaced: { grantId: extension(oids.grantId, value) } })

const p521 = generateKeyPairSync("ec", { namedCurve: "P-521" }).publicKey.export({
  format: "der",
  type: "spki"
})
const otherKeys = await makeKeys()
const otherIntermediate = await makeIntermediate(root, { name: "Test Intermediate" })

/** What is changed, and all that must be said of it. */
const hostile: ReadonlyArray<
  readonly [string, LeafOptions, ReadonlyArray<readonly [string, string, string]>]
> = [
  ["no grant id", { replaced: { grantId: undefined } }, [[grantField, onceGrant, "absent"]]],
  ["another grant's id", grantValue(uuidValue(otherId)), [[grantField, onceGrant, `0C 24 "${otherId}"`]]],
  [
    "the grant id twice",
    { added: [extension(oids.grantId, uuidValue(grantId))] },
    [
      [grantField, onceGrant, "duplicate: 2 times"],
      ["extensions", none, `${oids.grantId} twice`]
    ]
  ],
  [
    "a critical grant id",
    { replaced: { grantId: extension(oids.grantId, uuidValue(grantId), true) } },
    [[grantField, onceGrant, "critical"]]
  ],
  [
    "the grant id as a PrintableString",
    grantValue(printable(grantId)),
    [[grantField, onceGrant, `${hexOf(printable(grantId))} (expected tag 0C (UTF8String), found 13)`]]
  ],
  [
    "the grant id in upper case",
    grantValue(utf8(grantId.toUpperCase())),
    [
      [
        grantField,
        onceGrant,
        `${hexOf(utf8(grantId.toUpperCase()))} (${grantId.toUpperCase()} is not in lower case)`
      ]
    ]
  ],
  [
    "what a template writes when a claim is absent",
    grantValue(new Uint8Array(Buffer.from("\x0c\x24%!s(<nil>)"))),
    [[grantField, onceGrant, "0C24252173283C6E696C3E29 (expected 36 octets after the length, found 10)"]]
  ],
  ["no user id", { replaced: { subjectUserId: undefined } }, [[userField, onceUser, "absent"]]],
  [
    "another user's id",
    { replaced: { subjectUserId: extension(oids.subjectUserId, uuidValue(otherId)) } },
    [[userField, onceUser, `0C 24 "${otherId}"`]]
  ],
  [
    "both ids exchanged",
    {
      replaced: {
        grantId: extension(oids.grantId, uuidValue(subjectUserId)),
        subjectUserId: extension(oids.subjectUserId, uuidValue(grantId))
      }
    },
    [
      [grantField, onceGrant, `0C 24 "${subjectUserId}"`],
      [userField, onceUser, `0C 24 "${grantId}"`]
    ]
  ],
  [
    "another key",
    { publicKey: otherKeys.publicKey },
    [["subjectPublicKeyInfo", "the subjectPublicKey of the CSR", "another key (EC P-256)"]]
  ],
  [
    "a key that the policy refuses",
    { publicKey: new Uint8Array(p521) },
    [
      ["subjectPublicKeyInfo", "the subjectPublicKey of the CSR", "another key (EC P-521)"],
      ["subjectPublicKeyInfo algorithm", "an accepted key", "EC P-521"]
    ]
  ],
  ["another serial", { serial: "12345678901234567890" }, [["serialNumber", serial, "12345678901234567890"]]],
  ["another subject", { subject: `CN=${otherId}` }, [["subject", `CN=${grantId}`, `CN=${otherId}`]]],
  [
    "more in the subject",
    { subject: `O=Example, CN=${grantId}` },
    [["subject", `CN=${grantId}`, `O=Example, CN=${grantId}`]]
  ],
  ["an empty subject", { subject: "" }, [["subject", `CN=${grantId}`, "(empty)"]]],
  [
    "no alternative name",
    { replaced: { subjectAltName: undefined } },
    [["subjectAltName", `URI:${uri}`, "(none)"]]
  ],
  [
    "another alternative name",
    { replaced: { subjectAltName: san({ type: "url", value: `urn:uuid:${otherId}` }) } },
    [["subjectAltName", `URI:${uri}`, `URI:urn:uuid:${otherId}`]]
  ],
  [
    "a host name beside its URI",
    {
      replaced: {
        subjectAltName: san({ type: "url", value: uri }, { type: "dns", value: "gateway.example" })
      }
    },
    [["subjectAltName", `URI:${uri}`, `URI:${uri}, DNS:gateway.example`]]
  ],
  [
    "its URI as a host name",
    { replaced: { subjectAltName: san({ type: "dns", value: uri }) } },
    [["subjectAltName", `URI:${uri}`, `DNS:${uri}`]]
  ],
  [
    "alternative names that are no SEQUENCE",
    { replaced: { subjectAltName: extension("2.5.29.17", utf8(uri)) } },
    [["subjectAltName", `URI:${uri}`, "subjectAltName: expected tag 0x30, found 0x0c at octet 0"]]
  ],
  [
    "no extended key usage",
    { replaced: { extendedKeyUsage: undefined } },
    [["extendedKeyUsage", "clientAuth", "absent"]]
  ],
  [
    "serverAuth beside clientAuth",
    {
      replaced: {
        extendedKeyUsage: new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"])
      }
    },
    [["extendedKeyUsage", "clientAuth", "clientAuth, serverAuth"]]
  ],
  [
    "any extended key usage",
    { replaced: { extendedKeyUsage: new x509.ExtendedKeyUsageExtension(["2.5.29.37.0"]) } },
    [["extendedKeyUsage", "clientAuth", "anyExtendedKeyUsage"]]
  ],
  [
    "an extended key usage that cannot be read",
    { replaced: { extendedKeyUsage: extension("2.5.29.37", nothing) } },
    [["extendedKeyUsage", "clientAuth", "extendedKeyUsage: expected tag 0x30, found 0x05 at octet 0"]]
  ],
  ["no key usage", { replaced: { keyUsage: undefined } }, [["keyUsage", "digitalSignature", "absent"]]],
  [
    "keyCertSign beside digitalSignature",
    {
      replaced: {
        keyUsage: keyUsages(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign)
      }
    },
    [["keyUsage", "digitalSignature", "digitalSignature, keyCertSign"]]
  ],
  [
    "a key usage that cannot be read",
    { replaced: { keyUsage: extension("2.5.29.15", nothing, true) } },
    [["keyUsage", "digitalSignature", "keyUsage: expected tag 0x03, found 0x05 at octet 0"]]
  ],
  [
    "cA TRUE",
    { added: [caConstraints(0)] },
    [["basicConstraints", "absent or cA FALSE", "cA TRUE, pathLenConstraint 0"]]
  ],
  [
    "a path length without cA",
    { added: [extension("2.5.29.19", sequence(integer(3n)))] },
    [["basicConstraints", "absent or cA FALSE", "cA FALSE, pathLenConstraint 3"]]
  ],
  [
    "cA FALSE written out",
    { added: [extension("2.5.29.19", sequence(boolean(false), boolean(true)))] },
    [
      [
        "basicConstraints",
        "absent or cA FALSE",
        "pathLenConstraint: expected tag 0x02, found 0x01 at octet 5"
      ]
    ]
  ],
  [
    "an extension that nobody asked for",
    { added: [extension("1.2.3.4", nothing), extension("2.5.29.30", sequence(), true)] },
    [["extensions", none, "1.2.3.4, nameConstraints"]]
  ],
  [
    "two lists of alternative names",
    { added: [san({ type: "dns", value: "gateway.example" })] },
    [["extensions", none, "subjectAltName twice"]]
  ],
  [
    "a key identifier that cannot be read",
    { replaced: { subjectKeyIdentifier: extension("2.5.29.14", nothing) } },
    [["subjectKeyIdentifier", "absent or an OCTET STRING", "unreadable"]]
  ],
  [
    "another issuer's key identifier",
    { replaced: { authorityKeyIdentifier: new x509.AuthorityKeyIdentifierExtension(root.keyIdentifier) } },
    [["authorityKeyIdentifier", intermediate.keyIdentifier, root.keyIdentifier]]
  ],
  [
    "an issuer's key identifier that cannot be read",
    { replaced: { authorityKeyIdentifier: extension("2.5.29.35", nothing) } },
    [["authorityKeyIdentifier", intermediate.keyIdentifier, "unreadable"]]
  ],
  [
    "a second more than was asked for",
    { notAfter: new Date("2026-03-02T12:00:01.000Z") },
    [
      ["notAfter", "at most 2026-03-02T12:00:00.000Z (asked)", "2026-03-02T12:00:01.000Z"],
      [
        "notAfter, provisioner",
        "at most 2026-03-02T12:00:00.500Z (the provisioner's limit)",
        "2026-03-02T12:00:01.000Z"
      ]
    ]
  ],
  [
    "a validity beyond the grant",
    { notAfter: new Date("2026-03-05T00:00:01.000Z") },
    [
      ["notAfter", "at most 2026-03-02T12:00:00.000Z (asked)", "2026-03-05T00:00:01.000Z"],
      [
        "notAfter, provisioner",
        "at most 2026-03-02T12:00:00.500Z (the provisioner's limit)",
        "2026-03-05T00:00:01.000Z"
      ],
      ["notAfter, grant", "at most 2026-03-05T00:00:00.000Z (the grant's expiry)", "2026-03-05T00:00:01.000Z"]
    ]
  ],
  [
    "a notBefore too long ago",
    { notBefore: new Date("2026-03-01T11:58:29.000Z") },
    [["notBefore", "2026-03-01T11:58:30.000Z to 2026-03-01T12:00:30.500Z", "2026-03-01T11:58:29.000Z"]]
  ],
  [
    "a notBefore still to come",
    { notBefore: new Date("2026-03-01T12:00:31.000Z") },
    [
      ["notBefore", "2026-03-01T11:58:30.000Z to 2026-03-01T12:00:30.500Z", "2026-03-01T12:00:31.000Z"],
      [
        "validity",
        "notBefore <= 2026-03-01T12:00:02.000Z <= notAfter",
        "2026-03-01T12:00:31.000Z to 2026-03-02T12:00:00.000Z"
      ]
    ]
  ],
  [
    "a validity that is over",
    { notAfter: new Date("2026-03-01T12:00:01.000Z") },
    [
      [
        "validity",
        "notBefore <= 2026-03-01T12:00:02.000Z <= notAfter",
        "2026-03-01T11:59:00.000Z to 2026-03-01T12:00:01.000Z"
      ]
    ]
  ],
  [
    "a signature with SHA-1",
    { hash: "SHA-1" },
    [
      [
        "signatureAlgorithm",
        "one of ecdsa-with-SHA256, ecdsa-with-SHA384, ecdsa-with-SHA512, Ed25519, sha256WithRSAEncryption, sha384WithRSAEncryption, sha512WithRSAEncryption, alike inside and outside",
        "ecdsa-with-SHA1"
      ],
      [
        "chain",
        `CN=${grantId} signed by CN=Test Intermediate`,
        "ecdsa-with-SHA1 is not accepted; accepted are ecdsa-with-SHA256, ecdsa-with-SHA384, ecdsa-with-SHA512, Ed25519, sha256WithRSAEncryption, sha384WithRSAEncryption, sha512WithRSAEncryption"
      ]
    ]
  ]
]

const asMismatches = (expected: ReadonlyArray<readonly [string, string, string]>) =>
  expected.map(([field, expected, found]) => ({ field, expected, found }))

describe("Another certificate is refused", () => {
  for (const [what, options, expected] of hostile) {
    it(`for ${what}`, async () => {
      assert.deepStrictEqual(mismatches(issued(await made(options))), asMismatches(expected))
    })
  }

  it("for its version", () => {
    const version2 = rewritten(leaf, intermediate, ([, ...rest]) => [element(0xa0, integer(1n)), ...rest])
    assert.deepStrictEqual(mismatches(issued(version2)), asMismatches([["version", "3", "2"]]))
  })

  it("for a serial that is not positive", () => {
    const negative = rewritten(leaf, intermediate, ([version, , ...rest]) => [
      version ?? leaf,
      element(0x02, Buffer.of(0x80)),
      ...rest
    ])
    assert.deepStrictEqual(mismatches(issued(negative)), asMismatches([["serialNumber", serial, "-128"]]))
  })

  it("for naming another signature algorithm inside than outside", () => {
    const other = rewritten(leaf, intermediate, ([version, number, , ...rest]) => [
      version ?? leaf,
      number ?? leaf,
      sequence(oid("1.2.840.10045.4.3.3")),
      ...rest
    ])
    const [mismatch, ...more] = mismatches(issued(other))
    assert.isEmpty(more)
    assert.strictEqual(mismatch?.field, "signatureAlgorithm")
    assert.strictEqual(mismatch?.found, "ecdsa-with-SHA256 outside, ecdsa-with-SHA384 inside")
  })

  it("for a key that the policy refuses, even if the request had it", async () => {
    const found = mismatches(issued(await made({ publicKey: new Uint8Array(p521) })), {
      ...asked,
      csrSpki: new Uint8Array(p521)
    })
    assert.deepStrictEqual(
      found,
      asMismatches([["subjectPublicKeyInfo algorithm", "an accepted key", "EC P-521"]])
    )
  })

  it("for the grant's expiry alone, where that is the narrowest limit", () => {
    const grantExpiresAt = new Date("2026-03-02T11:59:59.999Z")
    assert.deepStrictEqual(
      mismatches(issued(leaf), { ...asked, grantExpiresAt }),
      asMismatches([
        [
          "notAfter, grant",
          "at most 2026-03-02T11:59:59.999Z (the grant's expiry)",
          "2026-03-02T12:00:00.000Z"
        ]
      ])
    )
  })

  it("for the provisioner's limit alone, where that is the narrowest", () => {
    assert.deepStrictEqual(
      mismatches(issued(leaf), { ...asked, maxLifetimeMillis: 3_600_000 }),
      asMismatches([
        [
          "notAfter, provisioner",
          "at most 2026-03-01T13:00:00.500Z (the provisioner's limit)",
          "2026-03-02T12:00:00.000Z"
        ]
      ])
    )
  })

  it("with all that is wrong at once", async () => {
    const found = mismatches(
      issued(await made({ serial: "1", subject: `CN=${otherId}`, replaced: { grantId: undefined } }))
    )
    assert.deepStrictEqual(
      found.map(({ field }) => field),
      [grantField, "serialNumber", "subject"]
    )
  })

  it("by every check there is", () => {
    const fields = new Set([
      ...hostile.flatMap(([, , expected]) => expected.map(([field]) => field)),
      "version"
    ])
    assert.sameMembers(
      checks.map(({ field }) => field(oids)),
      [...fields]
    )
  })
})

describe("A chain is refused", () => {
  const chain = (...parts: Issued["chain"]): Issued => ({ leaf, chain: parts })
  const up = "a chain up to a pinned root"

  it("where it is absent", () => {
    assert.deepStrictEqual(
      mismatches(chain()),
      asMismatches([["chain", up, `CN=${grantId} issued by CN=Test Intermediate, which is not pinned`]])
    )
  })

  it("where another CA of the same name signed", () => {
    assert.deepStrictEqual(
      mismatches(chain(otherIntermediate.certificate.der)),
      asMismatches([
        ["authorityKeyIdentifier", otherIntermediate.keyIdentifier, intermediate.keyIdentifier],
        [
          "chain",
          `CN=${grantId} signed by CN=Test Intermediate`,
          "the signature does not verify with the public key"
        ]
      ])
    )
  })

  it("where its root is not the pinned one, though it bears the name", async () => {
    const { certificate } = await makeRoot()
    assert.deepStrictEqual(
      mismatches(issued(leaf), { ...asked, roots: [certificate] }),
      asMismatches([["chain", up, "CN=Test Intermediate not signed by the pinned CN=Test Root"]])
    )
  })

  it("where nothing is pinned", () => {
    assert.deepStrictEqual(
      mismatches(issued(leaf), { ...asked, roots: [] }),
      asMismatches([["chain", up, "CN=Test Intermediate issued by CN=Test Root, which is not pinned"]])
    )
  })

  const unreadable: ReadonlyArray<readonly [string, Issued, string, string]> = [
    ["no leaf", { ...chain(), leaf: "" }, "certificate", "there is no PEM block"],
    ["HTML for a leaf", { ...chain(), leaf: "<html>" }, "certificate", "there is no PEM block"],
    [
      "the chain in the place of the leaf",
      { ...chain(), leaf: parsed(leaf).pem + intermediate.certificate.pem },
      "certificate",
      "expected one certificate, found 2"
    ],
    [
      "a leaf with an octet behind it",
      { ...chain(), leaf: Uint8Array.of(...leaf, 0) },
      "certificate",
      `1 trailing octets at octet ${leaf.length}`
    ],
    [
      "a key among the certificates",
      chain(intermediate.certificate.pem, parsed(leaf).pem.replaceAll("CERTIFICATE", "PRIVATE KEY")),
      "chain",
      "a PEM block PRIVATE KEY among the certificates"
    ],
    ["a chain that is none", chain(octetString(leaf)), "chain", "expected tag 0x30, found 0x04 at octet 0"]
  ]
  const odd: ReadonlyArray<
    readonly [string, (members: ReadonlyArray<Uint8Array>) => ReadonlyArray<Uint8Array>, string]
  > = [
    [
      "two lists of extensions",
      (members) => [...members, members.at(-1) ?? leaf],
      "tbsCertificate: members that are unknown, twice or out of order"
    ],
    [
      "a member that X.509 does not know",
      (members) => [...members, nothing],
      "tbsCertificate: members that are unknown, twice or out of order"
    ],
    [
      "a third time in its validity",
      (members) =>
        members.map((member, index) =>
          index === 4 ? sequence(...membersOf(member), ...membersOf(member).slice(1)) : member
        ),
      "validity: 3 of 2 members"
    ],
    [
      "a second value in an attribute of its subject",
      (members) =>
        members.map((member, index) =>
          index === 5 ? sequence(set(sequence(oid("2.5.4.3"), utf8(grantId), utf8(otherId)))) : member
        ),
      "subject: an attribute of 3 members"
    ],
    [
      "a critical FALSE written out",
      (members) =>
        members.map((member) =>
          member[0] === 0xa3
            ? element(0xa3, sequence(sequence(oid("2.5.29.17"), boolean(false), octetString(sequence()))))
            : member
        ),
      "extension 2.5.29.17: critical FALSE is encoded"
    ]
  ]
  for (const [what, change, message] of odd) {
    it(`with ${what} in the leaf`, () => {
      assert.deepStrictEqual(
        mismatches(issued(rewritten(leaf, intermediate, change))),
        asMismatches([["certificate", "an X.509 certificate (RFC 5280)", message]])
      )
    })
  }

  for (const [what, found, field, message] of unreadable) {
    it(`with ${what}`, () => {
      assert.deepStrictEqual(
        mismatches(found),
        asMismatches([[field, "an X.509 certificate (RFC 5280)", message]])
      )
    })
  }
})

describe("Where only the certificate is known", () => {
  const known = { leaf: parsed(leaf), chain: [intermediate.certificate] }

  it("what was asked is not applicable, and what it says of itself must agree", () => {
    const evaluations = evaluate(known, {}, trust)
    assert.deepStrictEqual(
      evaluations.filter(({ outcome }) => outcome === "not-applicable").map(({ field }) => field),
      ["subjectPublicKeyInfo", "notAfter", "notAfter, provisioner", "notAfter, grant", "notBefore"]
    )
    assert.isEmpty(evaluations.filter(({ outcome }) => outcome === "mismatch"))
  })

  it("a subject and a name of another grant are mismatches", async () => {
    const other = parsed(await made(grantValue(uuidValue(otherId))))
    assert.deepStrictEqual(
      evaluate({ ...known, leaf: other }, {}, trust)
        .filter(({ outcome }) => outcome === "mismatch")
        .map(({ expected, field, found }) => [field, expected, found]),
      [
        ["subject", `CN=${otherId}`, `CN=${grantId}`],
        ["subjectAltName", `URI:urn:uuid:${otherId}`, `URI:${uri}`]
      ]
    )
  })

  it("a serial of a careless counter is a mismatch", async () => {
    const other = parsed(await made({ serial: "1000" }))
    assert.deepInclude(evaluate({ ...known, leaf: other }, {}, trust), {
      field: "serialNumber",
      citation: "RFC 5280 §4.1.2.2",
      outcome: "mismatch",
      expected: "a positive number of 19 to 39 digits",
      found: "1000"
    })
  })

  it("nothing that is unknown can pass for checked", () => {
    const { csrSpki: _, ...without } = asked
    const checked = check(issued(leaf), without as Asked & Trust)
    assert.deepStrictEqual(
      checked,
      Result.fail(asMismatches([["subjectPublicKeyInfo", "not known here", "not known here"]]))
    )
  })
})

describe("A damaged certificate", () => {
  const passes = (bytes: Uint8Array) => Result.isSuccess(check(issued(bytes), asked))

  it("is refused for any one bit", () => {
    for (let at = 0; at < leaf.length; at += 1) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        assert.isFalse(passes(leaf.with(at, (leaf[at] ?? 0) ^ bit)), `bit ${bit} of octet ${at}`)
      }
    }
  })

  it.prop(
    "is refused whatever the damage, and nothing throws",
    { damage: mutation },
    ({ damage }) => {
      const bytes = damage(leaf)
      assert.strictEqual(passes(bytes), Buffer.from(bytes).equals(leaf))
    },
    { arbitrary: { runs: 3000 } }
  )

  it.prop(
    "in the chain is refused too",
    { damage: mutation },
    ({ damage }) => {
      const bytes = damage(intermediate.certificate.der)
      assert.strictEqual(
        Result.isSuccess(check({ leaf, chain: [bytes] }, asked)),
        Buffer.from(bytes).equals(intermediate.certificate.der)
      )
    },
    { arbitrary: { runs: 2000 } }
  )

  it.prop(
    "that the CA signed is refused for any extension value but the right ones",
    { value: octets(60) },
    ({ value }) => {
      const changed = rewritten(leaf, intermediate, (members) =>
        members.map((member) =>
          member[0] === 0xa3
            ? element(
                0xa3,
                sequence(
                  ...membersOf(membersOf(member)[0] ?? member).map((one) =>
                    Buffer.from(one).includes(Buffer.from(uuidValue(grantId)))
                      ? sequence(oid(oids.grantId), octetString(value))
                      : one
                  )
                )
              )
            : member
        )
      )
      assert.deepStrictEqual(
        mismatches(issued(changed)).map(({ field }) => field),
        [grantField]
      )
    },
    { arbitrary: { runs: 500, size: 60 } }
  )

  it("is refused where its signature has unused bits", () => {
    const [tbs = leaf, algorithm = leaf] = membersOf(leaf)
    const [mismatch] = mismatches(issued(sequence(tbs, algorithm, bitString(Buffer.alloc(64), 1))))
    assert.strictEqual(mismatch?.found, "signatureValue: unused bits")
  })
})
