/** What goes into an issuance and what comes out of it are validated by their own schemas. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Result, Schema } from "effect"
import { GrantId } from "../src/GrantId.ts"
import { IssueCertRequest } from "../src/IssueCertRequest.ts"
import { IssuedCert } from "../src/IssuedCert.ts"
import { SerialNumber } from "../src/SerialNumber.ts"
import { UserId } from "../src/UserId.ts"

const refusalOf = (schema: Schema.Codec<unknown, unknown>, value: unknown) => {
  const decoded = Schema.decodeUnknownResult(schema)(value)
  assert.isTrue(Result.isFailure(decoded), "accepted")
  return Result.isFailure(decoded) ? decoded.failure.message : ""
}

const request = {
  grantId: GrantId.make("9f8c2a1e-5b7d-4c3f-8a60-1d2e3f405162"),
  subjectUserId: UserId.make("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
  csrPem: "-----BEGIN CERTIFICATE REQUEST-----"
}

describe("IssueCertRequest", () => {
  it("takes a request with and without a lifetime", () => {
    assert.notProperty(new IssueCertRequest(request), "lifetime")
    const lifetime = Duration.hours(1)
    assert.strictEqual(new IssueCertRequest({ ...request, lifetime }).lifetime, lifetime)
  })

  it("refuses a field of the wrong form, names it and says what it takes", () => {
    const cases: ReadonlyArray<readonly [object, string, string]> = [
      [{ grantId: "7" }, "grantId", "a canonical lower-case UUID"],
      [{ subjectUserId: "" }, "subjectUserId", "a canonical lower-case UUID"],
      [{ csrPem: new Uint8Array(3) }, "csrPem", "Expected string"],
      [{ lifetime: Duration.zero }, "lifetime", "a lifetime above zero"],
      [{ lifetime: Duration.millis(-1) }, "lifetime", "a lifetime above zero"],
      [{ lifetime: "24h" }, "lifetime", "Expected Duration"]
    ]
    for (const [change, field, expected] of cases) {
      const message = refusalOf(IssueCertRequest, { ...request, ...change })
      assert.include(message, `["${field}"]`)
      assert.include(message, expected)
    }
  })
})

const pem = (body: string) => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`

const issued = {
  certificate: pem("TEVBRg=="),
  chain: [pem("SU5URVJNRURJQVRF")],
  serial: "98037421659023847561029384756102938475",
  notBefore: "2026-06-01T00:00:00.000Z",
  notAfter: "2026-06-02T00:00:00.000Z"
}

describe("IssuedCert", () => {
  it("is encoded as it was decoded, and puts the leaf first", () => {
    const certificate = Schema.decodeUnknownSync(IssuedCert)(issued)
    assert.deepStrictEqual(Schema.encodeSync(IssuedCert)(certificate), issued)
    assert.strictEqual(certificate.fullChainPem, pem("TEVBRg==") + pem("SU5URVJNRURJQVRF"))
  })

  it("refuses a field of the wrong form, names it and says what it takes", () => {
    const onePem = "one PEM block CERTIFICATE"
    const cases: ReadonlyArray<readonly [object, string, string]> = [
      [{ certificate: "" }, "certificate", onePem],
      [{ certificate: issued.certificate.trimEnd() }, "certificate", onePem],
      [{ certificate: issued.certificate + issued.chain[0] }, "certificate", onePem],
      [{ certificate: issued.certificate.replaceAll("\n", "\r\n") }, "certificate", onePem],
      [{ certificate: pem("TEVBRg==").replaceAll("CERTIFICATE", "PRIVATE KEY") }, "certificate", onePem],
      [{ certificate: pem("A".repeat(65)) }, "certificate", onePem],
      [{ chain: ["SU5URVJNRURJQVRF"] }, "chain", onePem],
      [{ serial: "0" }, "serial", "a positive decimal number of 19 to 39 digits"],
      [{ notAfter: "never" }, "notAfter", "DateTime"]
    ]
    for (const [change, field, expected] of cases) {
      const message = refusalOf(IssuedCert, { ...issued, ...change })
      assert.include(message, `["${field}"`)
      assert.include(message, expected)
    }
  })

  it("refuses a validity that is empty or runs backwards, made by decoding or by hand", () => {
    for (const notAfter of [issued.notBefore, "2026-05-31T00:00:00.000Z"]) {
      assert.include(refusalOf(IssuedCert, { ...issued, notAfter }), "notBefore before notAfter")
      const byHand = () =>
        new IssuedCert({
          ...issued,
          serial: SerialNumber.make(issued.serial),
          notBefore: DateTime.makeUnsafe(issued.notBefore),
          notAfter: DateTime.makeUnsafe(notAfter)
        })
      assert.throws(byHand, "Schema validation failed")
    }
  })
})
