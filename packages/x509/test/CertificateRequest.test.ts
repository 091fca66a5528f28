/** A request is taken only whole, with a key that the policy names, signed by that key, and silent or right about names. */
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import { checkAgainstGrant, type CsrFault, mostCsrBytes, parse } from "../src/CertificateRequest.ts"
import {
  bitString,
  boolean,
  commonName,
  element,
  extension,
  integer,
  name,
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
  emptySubject,
  extensionRequest,
  type KeyPair,
  makeEd25519,
  makeRequest,
  pem,
  requestInfo,
  type RequestParts,
  signers,
  spkiOf,
  subjectAltName
} from "./support/Request.ts"

const grantId = "0f8fad5b-d9cb-469f-a165-70867728950e"
const otherId = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

const refusal = (input: string | Uint8Array, options?: { readonly maxBytes: number }): CsrFault => {
  const parsed = parse(input, options)
  assert(Result.isFailure(parsed))
  return parsed.failure
}

const malformed = (problem: string): CsrFault => ({ _tag: "Malformed", problem })

const keys = makeEd25519()
const good = makeRequest({ keys })

describe("CertificateRequest", () => {
  it("reads DER and PEM alike", () => {
    const request = Result.getOrThrow(parse(good))
    assert.deepStrictEqual(request.der, good)
    assert.strictEqual(request.pem, pem(good))
    assert.strictEqual(request.sha256Hex, createHash("sha256").update(good).digest("hex"))
    assert.strictEqual(request.sha256Base64Url, createHash("sha256").update(good).digest("base64url"))
    assert.deepStrictEqual(request.publicKeySpki, spkiOf(keys.publicKey))
    assert.strictEqual(request.keyDescription, "Ed25519")
    assert.strictEqual(request.subject.text, "(empty)")
    assert.deepStrictEqual(request.sans, [])
    assert.deepStrictEqual(request.requestedExtensions, [])
    for (const text of [
      pem(good),
      `\n\n  ${pem(good)}\n`,
      pem(good).replaceAll("\n", "\r\n"),
      pem(good, "NEW CERTIFICATE REQUEST"),
      Buffer.from(pem(good))
    ]) {
      assert.deepStrictEqual(Result.getOrThrow(parse(text)), request)
    }
  })

  it("reads one whose attributes are left out", () => {
    assert(Result.isSuccess(parse(makeRequest({ attributes: undefined }))))
  })

  it("passes over attributes other than extensionRequest", () => {
    const challengePassword = sequence(oid("1.2.840.113549.1.9.7"), set(utf8("secret")))
    const request = Result.getOrThrow(parse(makeRequest({ attributes: [challengePassword] })))
    assert.deepStrictEqual(request.requestedExtensions, [])
  })

  it("ignores the extensions that are asked for, and reports them", () => {
    const der = makeRequest({
      attributes: [
        extensionRequest(
          extension("2.5.29.19", sequence(boolean(true)), true),
          extension("2.5.29.15", bitString(Buffer.of(0x04), 2), true),
          extension("2.5.29.37", sequence(oid("1.3.6.1.5.5.7.3.1"))),
          extension("1.3.6.1.4.1.99999.1", utf8(otherId)),
          subjectAltName([0x86, `urn:uuid:${grantId}`])
        )
      ]
    })
    const request = Result.getOrThrow(parse(der))
    assert.deepStrictEqual(request.requestedExtensions, [
      "basicConstraints",
      "keyUsage",
      "extendedKeyUsage",
      "1.3.6.1.4.1.99999.1",
      "subjectAltName"
    ])
    assert.deepStrictEqual(request.sans, [{ type: "URI", value: `urn:uuid:${grantId}` }])
    assert(Result.isSuccess(checkAgainstGrant(request, { grantId })))
  })
})

describe("CertificateRequest size", () => {
  it("is held to 16 KiB of what is handed in, before anything is read", () => {
    assert.strictEqual(mostCsrBytes, 16_384)
    assert.deepStrictEqual(refusal(new Uint8Array(16_385)), { _tag: "TooLarge", size: 16_385, most: 16_384 })
    assert.deepStrictEqual(refusal("x".repeat(16_385)), { _tag: "TooLarge", size: 16_385, most: 16_384 })
    assert.strictEqual(refusal(new Uint8Array(16_384))._tag, "Malformed")
  })

  it("is held to the bound that the caller gives", () => {
    const { length } = good
    assert(Result.isSuccess(parse(good, { maxBytes: length })))
    assert.deepStrictEqual(refusal(good, { maxBytes: length - 1 }), {
      _tag: "TooLarge",
      size: length,
      most: length - 1
    })
  })
})

const [info, algorithm, signature] = [
  requestInfo({ version: 0n, subject: emptySubject, spki: spkiOf(keys.publicKey), attributes: [] }),
  signers.ed25519.algorithm,
  bitString(good.subarray(-64))
]

const attribute = extensionRequest(subjectAltName([0x82, "a.example"]))

describe("CertificateRequest malformed", () => {
  it("stands apart from what the right parts make", () => {
    assert.deepStrictEqual(sequence(info, algorithm, signature), good)
  })

  const texts: ReadonlyArray<readonly [string, string | Uint8Array, string]> = [
    ["an empty text", "", "it is empty"],
    ["a text without PEM", "a request", "there is no PEM block"],
    ["base64 without PEM", Buffer.from(good).toString("base64"), "there is no PEM block"],
    ["two blocks", pem(good).repeat(2), "expected one PEM block, found 2"],
    [
      "a block of another kind",
      pem(good, "CERTIFICATE"),
      "expected a PEM block CERTIFICATE REQUEST, found CERTIFICATE"
    ],
    [
      "a private key",
      pem(good, "PRIVATE KEY"),
      "expected a PEM block CERTIFICATE REQUEST, found PRIVATE KEY"
    ],
    [
      "a block closed as another",
      pem(good).replace("END CERTIFICATE REQUEST", "END CERTIFICATE"),
      "BEGIN CERTIFICATE REQUEST is closed by END CERTIFICATE"
    ],
    ["a block that is not closed", pem(good).replace(/-----END.*/, ""), "there is no PEM block"],
    [
      "a block that is not base64",
      pem(good).replace("\nM", "\n*"),
      "the block CERTIFICATE REQUEST is not base64"
    ],
    [
      "a block without padding",
      pem(good.subarray(0, 100)).replaceAll("=", ""),
      "the block CERTIFICATE REQUEST is not base64"
    ],
    ["an empty block", pem(new Uint8Array()), "the block CERTIFICATE REQUEST is not base64"],
    ["text after the block", `${pem(good)}more`, "text stands between or after the PEM blocks"],
    ["text before the block", `subject=\n${pem(good)}`, "text stands before the PEM block: remove it"]
  ]

  const octetRuns: ReadonlyArray<readonly [string, Uint8Array, string]> = [
    ["no octets", new Uint8Array(), "it is empty"],
    ["a SET", set(info, algorithm, signature), "expected tag 0x30, found 0x31 at octet 0"],
    ["an octet too many", Uint8Array.of(...good, 0), `1 trailing octets at octet ${good.length}`],
    [
      "an octet too few",
      good.subarray(0, -1),
      `an element of ${good.length - 2 - (good.length > 129 ? 1 : 0)} octets is cut off at octet 0`
    ],
    ["an indefinite length", Uint8Array.of(0x30, 0x80, 0, 0), "indefinite length at octet 1"],
    ["two members", sequence(info, algorithm), "CertificationRequest: 2 of 3 members"],
    ["four members", sequence(info, algorithm, signature, nothing), "CertificationRequest: 4 of 3 members"],
    ["an empty info", sequence(sequence(), algorithm, signature), "version is missing at octet 0"],
    [
      "a fifth member inside",
      sequence(
        sequence(integer(0n), emptySubject, spkiOf(keys.publicKey), element(0xa0), nothing),
        algorithm,
        signature
      ),
      "certificationRequestInfo: more than 4 members"
    ],
    ["another version", makeRequest({ keys, version: 1n }), "version is not v1(0)"],
    ["no subject", sequence(sequence(integer(0n)), algorithm, signature), "subject is missing at octet 0"],
    [
      "no key",
      sequence(sequence(integer(0n), emptySubject), algorithm, signature),
      "subjectPKInfo is missing at octet 0"
    ],
    [
      "a key that is none",
      makeRequest({ keys, spki: sequence(sequence(octetString(Buffer.of(1)))) }),
      "algorithm: expected tag 0x06, found 0x04 at octet 4"
    ],
    [
      "extensionRequest twice",
      makeRequest({ keys, attributes: [attribute, attribute] }),
      "extensionRequest is there more than once"
    ],
    [
      "extensionRequest of two values",
      makeRequest({
        keys,
        attributes: [sequence(oid("1.2.840.113549.1.9.14"), set(sequence(), sequence()))]
      }),
      "extensionRequest: expected one value"
    ],
    [
      "an extension that encodes critical FALSE",
      makeRequest({
        keys,
        attributes: [extensionRequest(sequence(oid("2.5.29.17"), boolean(false), octetString(sequence())))]
      }),
      "extension 2.5.29.17: critical FALSE is encoded"
    ],
    [
      "an extension without a value",
      makeRequest({ keys, attributes: [extensionRequest(sequence(oid("2.5.29.17")))] }),
      "extension 2.5.29.17: extnValue is missing at octet 0"
    ],
    [
      "names that are no SEQUENCE",
      makeRequest({ keys, attributes: [extensionRequest(extension("2.5.29.17", utf8("a.example")))] }),
      "subjectAltName: expected tag 0x30, found 0x0c at octet 0"
    ],
    [
      "a signature that is not of whole octets",
      sequence(info, algorithm, bitString(Buffer.alloc(64), 1)),
      "signature: unused bits"
    ],
    [
      "a signature that is no BIT STRING",
      sequence(info, algorithm, octetString(good.subarray(-64))),
      `signature: expected tag 0x03, found 0x04 at octet ${2 + info.length + algorithm.length}`
    ]
  ]

  for (const [what, input, problem] of [...texts, ...octetRuns]) {
    it(`by ${what}: ${problem}`, () => assert.deepStrictEqual(refusal(input), malformed(problem)))
  }
})

const ecKeys = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve })
const rsaKeys = (modulusLength: number, publicExponent = 65_537) =>
  generateKeyPairSync("rsa", { modulusLength, publicExponent })

const p256 = ecKeys("P-256")
const invalid = "the signature does not verify with the public key"

describe("CertificateRequest proof of possession", () => {
  const signedBy = (signatory: KeyPair, parts: Partial<RequestParts> = {}) =>
    makeRequest({ keys: signatory, ...parts })

  const cases: ReadonlyArray<readonly [string, Uint8Array, string]> = [
    ["another key's signature", signedBy(makeEd25519(), { spki: spkiOf(keys.publicKey) }), invalid],
    ["no signature", sequence(info, algorithm, bitString(Buffer.alloc(0))), invalid],
    ["a signature of zeros", sequence(info, algorithm, bitString(Buffer.alloc(64))), invalid],
    [
      "a signature of another request",
      sequence(info, algorithm, bitString(makeRequest({ keys, subject: commonName("x") }).subarray(-64))),
      invalid
    ],
    [
      "a subject put in afterwards",
      sequence(
        requestInfo({
          version: 0n,
          subject: commonName(grantId),
          spki: spkiOf(keys.publicKey),
          attributes: []
        }),
        algorithm,
        signature
      ),
      invalid
    ],
    [
      "SHA-1",
      makeRequest({ keys: p256, signer: signers.ecdsaSha1 }),
      "ecdsa-with-SHA1 is not accepted; accepted are ecdsa-with-SHA256, ecdsa-with-SHA384, ecdsa-with-SHA512, Ed25519, sha256WithRSAEncryption, sha384WithRSAEncryption, sha512WithRSAEncryption"
    ],
    [
      "an algorithm of another kind of key",
      sequence(info, signers.ecdsaSha256.algorithm, signature),
      "ecdsa-with-SHA256 does not go with a key of type ed25519"
    ],
    [
      "RSA's algorithm with an EC key",
      makeRequest({ keys: p256, signer: signers.rsaSha256 }),
      "sha256WithRSAEncryption does not go with a key of type ec"
    ]
  ]

  for (const [what, der, problem] of cases) {
    it(`fails by ${what}`, () => assert.deepStrictEqual(refusal(der), { _tag: "SignatureInvalid", problem }))
  }

  it("is lost by the change of any one bit", () => {
    for (let at = 0; at < good.length; at += 1) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        assert(Result.isFailure(parse(good.with(at, (good[at] ?? 0) ^ bit))), `bit ${bit} of octet ${at}`)
      }
    }
  })

  it.prop(
    "is lost by damage to the DER, and nothing throws",
    { damage: mutation },
    ({ damage }) => {
      const bytes = damage(good)
      assert.strictEqual(Result.isSuccess(parse(bytes)), Buffer.from(bytes).equals(good))
    },
    { arbitrary: { runs: 3000 } }
  )

  const withNames = makeRequest({
    keys: p256,
    signer: signers.ecdsaSha256,
    subject: commonName(grantId),
    attributes: [extensionRequest(subjectAltName([0x86, `urn:uuid:${grantId}`]))]
  })

  it.prop(
    "of a request with names covers every octet of what is asked",
    { damage: mutation },
    ({ damage }) => {
      const parsed = parse(damage(withNames))
      if (Result.isFailure(parsed)) return
      const { publicKeySpki, sans, subject } = parsed.success
      assert.strictEqual(subject.text, `CN=${grantId}`)
      assert.deepStrictEqual(sans, [{ type: "URI", value: `urn:uuid:${grantId}` }])
      assert.deepStrictEqual(publicKeySpki, spkiOf(p256.publicKey))
    },
    { arbitrary: { runs: 3000 } }
  )

  it.prop(
    "is not in arbitrary octets, text or PEM",
    { bytes: octets(300), text: Arbitrary.schema(Schema.String) },
    ({ bytes, text }) => {
      for (const input of [bytes, text, pem(bytes), `-----BEGIN CERTIFICATE REQUEST-----${text}`]) {
        assert.strictEqual(refusal(input)._tag, "Malformed")
      }
    },
    { arbitrary: { runs: 1000, size: 300 } }
  )
})

/** An RSA key of any size, of which nothing but the size is looked at. */
const rsaSpki = (bits: number) => {
  const modulus = randomBytes(Math.ceil(bits / 8))
  const top = (bits - 1) % 8
  modulus[0] = ((modulus[0] ?? 0) & ((1 << top) - 1)) | (1 << top)
  modulus[modulus.length - 1] = (modulus.at(-1) ?? 0) | 1
  const key = sequence(integer(BigInt(`0x${modulus.toString("hex")}`)), integer(65_537n))
  return sequence(sequence(oid("1.2.840.113549.1.1.1"), nothing), bitString(key))
}

const explicitP256 = generateKeyPairSync("ec", { namedCurve: "P-256", paramEncoding: "explicit" })

/** SEC 1 §2.3.3: 02 or 03 and the first coordinate alone. */
const compressed = (spki: Uint8Array) =>
  sequence(
    sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")),
    bitString(Uint8Array.of(2 + ((spki.at(-1) ?? 0) & 1), ...spki.slice(-64, -32)))
  )

const allowedKeys = "EC P-256, EC P-384, Ed25519, RSA of 2048 to 8192 bits"

describe("CertificateRequest key policy", () => {
  const accepted: ReadonlyArray<readonly [string, string | Uint8Array]> = [
    ["EC P-256", makeRequest({ keys: p256, signer: signers.ecdsaSha256 })],
    ["EC P-384", makeRequest({ keys: ecKeys("P-384"), signer: signers.ecdsaSha384 })],
    ["Ed25519", good],
    ["RSA 2048", makeRequest({ keys: rsaKeys(2048), signer: signers.rsaSha256 })],
    ["RSA 4096", readFileSync(new URL("fixtures/rsa-4096.csr.pem", import.meta.url), "utf8")],
    ["RSA 8192", readFileSync(new URL("fixtures/rsa-8192.csr.pem", import.meta.url), "utf8")]
  ]
  for (const [description, input] of accepted) {
    it(`accepts ${description}`, () =>
      assert.strictEqual(Result.getOrThrow(parse(input)).keyDescription, description))
  }

  /** The policy speaks before the signature is looked at, so that these need none of their own. */
  const ofKey = (spki: Uint8Array) => makeRequest({ keys, spki })
  const ec = (curve: string) => ofKey(spkiOf(ecKeys(curve).publicKey))

  const refused: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["EC P-521", makeRequest({ keys: ecKeys("P-521"), signer: signers.ecdsaSha384 })],
    ["EC secp224r1", ec("P-224")],
    ["EC secp256k1", makeRequest({ keys: ecKeys("secp256k1"), signer: signers.ecdsaSha256 })],
    ["EC brainpoolP256r1", ec("brainpoolP256r1")],
    ["EC P-256 with explicit parameters", makeRequest({ keys: explicitP256, signer: signers.ecdsaSha256 })],
    ["EC P-256 with a compressed point", ofKey(compressed(spkiOf(p256.publicKey)))],
    ["Ed448", makeRequest({ keys: generateKeyPairSync("ed448"), signer: signers.ed448 })],
    ["X25519", ofKey(spkiOf(generateKeyPairSync("x25519").publicKey))],
    ["X448", ofKey(spkiOf(generateKeyPairSync("x448").publicKey))],
    ["RSA 1024", makeRequest({ keys: rsaKeys(1024), signer: signers.rsaSha256 })],
    ["RSA 2047", ofKey(rsaSpki(2047))],
    ["RSA 8193", ofKey(rsaSpki(8193))],
    ["RSA 16384", ofKey(rsaSpki(16_384))],
    ["RSA of 4134 octets", ofKey(rsaSpki(32_768))],
    ["RSA 2048 with exponent 3", makeRequest({ keys: rsaKeys(2048, 3), signer: signers.rsaSha256 })],
    ["RSA-PSS 2048", ofKey(spkiOf(generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).publicKey))],
    [
      "DSA 1024",
      makeRequest({
        keys: generateKeyPairSync("dsa", { modulusLength: 1024, divisorLength: 160 }),
        signer: signers.dsaSha256
      })
    ],
    ["ML-DSA-65", ofKey(spkiOf(generateKeyPairSync("ml-dsa-65").publicKey))],
    ["a key of algorithm 1.2.3.4", ofKey(sequence(sequence(oid("1.2.3.4")), bitString(Buffer.alloc(32))))],
    [
      "EC",
      ofKey(
        sequence(
          sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")),
          bitString(Buffer.alloc(65, 4))
        )
      )
    ]
  ]
  for (const [found, der] of refused) {
    it(`refuses ${found}`, () =>
      assert.deepStrictEqual(refusal(der), { _tag: "KeyRefused", found, allowed: allowedKeys }))
  }
})

describe("CertificateRequest and its grant", () => {
  const parsed = (parts: Partial<RequestParts>) => Result.getOrThrow(parse(makeRequest(parts)))
  const withSans = (...names: ReadonlyArray<readonly [number, string]>) =>
    parsed({ attributes: [extensionRequest(subjectAltName(...names))] })

  const uri = `urn:uuid:${grantId}`

  const agreeing = [
    ["an empty subject", parsed({})],
    ["the grant's subject", parsed({ subject: commonName(grantId) })],
    ["the grant's subject as a PrintableString", parsed({ subject: name(["2.5.4.3", printable(grantId)]) })],
    ["the grant's URI", withSans([0x86, uri])],
    ["an empty list of names", withSans()]
  ] as const
  for (const [what, request] of agreeing) {
    it(`agree by ${what}`, () => assert(Result.isSuccess(checkAgainstGrant(request, { grantId }))))
  }

  const subjects: ReadonlyArray<readonly [string, Uint8Array]> = [
    [`CN=${otherId}`, commonName(otherId)],
    [`CN=${grantId.toUpperCase()}`, commonName(grantId.toUpperCase())],
    [`CN=${grantId}\\u0000`, commonName(`${grantId}\0`)],
    [`O=${grantId}`, name(["2.5.4.10", utf8(grantId)])],
    [`O=Example, CN=${grantId}`, name(["2.5.4.10", utf8("Example")], ["2.5.4.3", utf8(grantId)])],
    [`CN=${grantId}, CN=${otherId}`, name(["2.5.4.3", utf8(grantId)], ["2.5.4.3", utf8(otherId)])],
    [
      `CN=${grantId}+OU=x`,
      sequence(set(sequence(oid("2.5.4.3"), utf8(grantId)), sequence(oid("2.5.4.11"), utf8("x"))))
    ]
  ]
  for (const [found, subject] of subjects) {
    it(`contradict each other by the subject ${found}`, () =>
      assert.deepStrictEqual(
        checkAgainstGrant(parsed({ subject }), { grantId }),
        Result.fail({ _tag: "SubjectContradictsGrant", expected: `CN=${grantId}`, found } as const)
      ))
  }

  const sans: ReadonlyArray<readonly [string, ReadonlyArray<readonly [number, string]>]> = [
    [`URI:urn:uuid:${otherId}`, [[0x86, `urn:uuid:${otherId}`]]],
    [`URI:${uri.toUpperCase()}`, [[0x86, uri.toUpperCase()]]],
    [`DNS:${grantId}`, [[0x82, grantId]]],
    [`email:${uri}`, [[0x81, uri]]],
    ["IP:127.0.0.1", [[0x87, "\x7f\0\0\x01"]]],
    [`URI:${uri}\\u0000`, [[0x86, `${uri}\0`]]],
    [
      `URI:${uri}, DNS:gateway.example`,
      [
        [0x86, uri],
        [0x82, "gateway.example"]
      ]
    ],
    [
      `URI:${uri}, URI:${uri}`,
      [
        [0x86, uri],
        [0x86, uri]
      ]
    ]
  ]
  for (const [found, names] of sans) {
    it(`contradict each other by the name ${found}`, () =>
      assert.deepStrictEqual(
        checkAgainstGrant(withSans(...names), { grantId }),
        Result.fail({ _tag: "SanContradictsGrant", expected: `URI:${uri}`, found } as const)
      ))
  }
})
