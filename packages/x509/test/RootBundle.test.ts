/** What may be pinned: self-signed CA certificates that are valid now, and a file of nothing else. */
import "reflect-metadata"
import { assert, describe, it } from "@effect/vitest"
import * as x509 from "@peculiar/x509"
import { Result } from "effect"
import { parseRootBundle, type RootBundleFault } from "../src/RootBundle.ts"
import { octets } from "./support/Mutation.ts"
import { pem } from "./support/Request.ts"
import { caConstraints, keyUsages, makeIntermediate, makeRoot, now, rewritten } from "./support/Pki.ts"

const first = await makeRoot({ name: "First Root" })
const second = await makeRoot({ name: "Second Root" })
const intermediate = await makeIntermediate(first)

const fault = (text: string): RootBundleFault => {
  const bundle = parseRootBundle(text, now)
  assert(Result.isFailure(bundle))
  return bundle.failure
}

describe("RootBundle", () => {
  it("takes one root, and several for a rotation, each once", () => {
    const [one, two] = [first.certificate, second.certificate]
    assert.deepStrictEqual(parseRootBundle(one.pem, now), Result.succeed([one]))
    assert.deepStrictEqual(
      parseRootBundle(`\n${one.pem}\n\n${two.pem}${one.pem}\n`, now),
      Result.succeed([one, two])
    )
  })

  it("takes a root that states no key usage", async () => {
    const { certificate } = await makeRoot({ extensions: [caConstraints()] })
    assert.deepStrictEqual(parseRootBundle(certificate.pem, now), Result.succeed([certificate]))
  })

  const unreadable: ReadonlyArray<readonly [string, string, string]> = [
    ["an empty file", "", "there is no PEM block"],
    ["a file of white space", "\n\n", "there is no PEM block"],
    ["a file that is not PEM", "root", "there is no PEM block"],
    [
      "a private key beside the root",
      first.certificate.pem + pem(Buffer.of(1), "PRIVATE KEY"),
      "a PEM block PRIVATE KEY among the certificates"
    ],
    [
      "text before the root, as openssl x509 -text writes it",
      `Certificate:\n${first.certificate.pem}`,
      "text stands before the PEM block: remove it"
    ],
    ["text after the root", `${first.certificate.pem}# root`, "text stands between or after the PEM blocks"],
    [
      "a block that is no certificate",
      pem(Buffer.of(5, 0), "CERTIFICATE"),
      "expected tag 0x30, found 0x05 at octet 0"
    ]
  ]
  for (const [what, text, message] of unreadable) {
    it(`refuses ${what}`, () => assert.deepStrictEqual(fault(text), { _tag: "NotCertificates", message }))
  }

  it("refuses an intermediate, alone and beside its root", () => {
    const expected = {
      _tag: "NotSelfSigned",
      subject: "CN=Test Intermediate",
      message: "CN=Test Intermediate is not self-signed: it is no root"
    } as const
    assert.deepStrictEqual(fault(intermediate.certificate.pem), expected)
    assert.deepStrictEqual(fault(first.certificate.pem + intermediate.certificate.pem), expected)
  })

  it("refuses one that names itself as issuer and is signed by another", () => {
    const forged = rewritten(first.certificate.der, second, (members) => members)
    assert.deepStrictEqual(fault(pem(forged, "CERTIFICATE")), {
      _tag: "NotSelfSigned",
      subject: "CN=First Root",
      message: "CN=First Root is not self-signed: it is no root"
    })
  })

  const notCa: ReadonlyArray<readonly [string, ReadonlyArray<x509.Extension>]> = [
    ["no basicConstraints", [keyUsages(x509.KeyUsageFlags.keyCertSign)]],
    ["cA FALSE", [new x509.BasicConstraintsExtension(false, undefined, true)]],
    ["a key usage without keyCertSign", [caConstraints(), keyUsages(x509.KeyUsageFlags.cRLSign)]]
  ]
  for (const [what, extensions] of notCa) {
    it(`refuses one with ${what}`, async () => {
      const { certificate } = await makeRoot({ extensions })
      assert.deepStrictEqual(fault(certificate.pem), {
        _tag: "NotCa",
        subject: "CN=Test Root",
        message: "CN=Test Root is no CA certificate (basicConstraints cA, keyUsage keyCertSign)"
      })
    })
  }

  it("refuses one that has expired, and beside it one that has not", async () => {
    const notAfter = new Date("2026-02-01T00:00:00.000Z")
    const { certificate } = await makeRoot({ notAfter })
    const expected = {
      _tag: "Expired",
      subject: "CN=Test Root",
      notAfter,
      message: "CN=Test Root expired at 2026-02-01T00:00:00.000Z"
    } as const
    assert.deepStrictEqual(fault(certificate.pem), expected)
    assert.deepStrictEqual(fault(first.certificate.pem + certificate.pem), expected)
    assert(Result.isSuccess(parseRootBundle(certificate.pem, notAfter)))
  })

  it("refuses one that is not valid yet", async () => {
    const notBefore = new Date("2026-04-01T00:00:00.000Z")
    const { certificate } = await makeRoot({ notBefore })
    assert.deepStrictEqual(fault(certificate.pem), {
      _tag: "NotYetValid",
      subject: "CN=Test Root",
      notBefore,
      message: "CN=Test Root is not valid before 2026-04-01T00:00:00.000Z"
    })
    assert(Result.isSuccess(parseRootBundle(certificate.pem, notBefore)))
  })

  it.prop(
    "refuses arbitrary octets in a block",
    { bytes: octets(200) },
    ({ bytes }) => {
      assert.strictEqual(fault(pem(bytes, "CERTIFICATE"))._tag, "NotCertificates")
    },
    { arbitrary: { runs: 500, size: 200 } }
  )
})
