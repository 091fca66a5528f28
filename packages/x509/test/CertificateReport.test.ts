/** What a person reads of a certificate is what is in it, octet by octet, and nothing in it can forge a line. */
import "reflect-metadata"
import { assert, describe, it } from "@effect/vitest"
import { evaluate } from "../src/CertificateConformance.ts"
import { certificateLines, conformanceLines, timeLeft, utc } from "../src/CertificateReport.ts"
import { commonName, printable } from "./support/Der.ts"
import {
  extension,
  grantId,
  type LeafOptions,
  makeIntermediate,
  makeKeys,
  makeLeaf,
  makeRoot,
  now,
  oids,
  parsed,
  rewritten,
  serial,
  subjectUserId,
  uuidValue
} from "./support/Pki.ts"

const root = await makeRoot()
const intermediate = await makeIntermediate(root)
const { publicKey } = await makeKeys()
const leafOf = async (options: LeafOptions = {}) => parsed(await makeLeaf(intermediate, publicKey, options))
const leaf = await leafOf()

const chain = [intermediate.certificate]
const lines = (certificate = leaf) => certificateLines(certificate, chain, root.certificate, oids, now)

const octetsOf = (uuid: string) => {
  const hex = Buffer.from(uuidValue(uuid)).toString("hex").toUpperCase()
  const spaced = hex.replace(/../g, "$& ").trim()
  return [`                 ${spaced.slice(0, 59)}`, `                 ${spaced.slice(60)}`]
}

describe("CertificateReport", () => {
  it("shows both extensions with their octets, and everything a person asks for", () => {
    const [grant = "", firstOfGrant = ""] = octetsOf(grantId)
    const [user = "", firstOfUser = ""] = octetsOf(subjectUserId)
    assert.deepStrictEqual(lines().join("\n").split("\n"), [
      `  grantId        ${grantId}  (the grant)`,
      `                 extension ${oids.grantId}, UTF8String, 38 octets:`,
      grant,
      firstOfGrant,
      `  subjectUserId  ${subjectUserId}  (the user it acts for)`,
      `                 extension ${oids.subjectUserId}, UTF8String, 38 octets:`,
      user,
      firstOfUser,
      `  serial         ${serial}`,
      `  subject        CN=${grantId}`,
      `  SAN            URI:urn:uuid:${grantId}`,
      "  usage          digitalSignature, clientAuth",
      "  key            EC P-256",
      "  valid from     2026-03-01 11:59:00 UTC",
      "  valid to       2026-03-02 12:00:00 UTC  (23 h 59 min left)",
      `  fingerprint    SHA-256 ${leaf.fingerprintSha256}`,
      "  issued by      CN=Test Intermediate",
      "  root           CN=Test Root, pinned"
    ])
  })

  it("names the issuer where the chain is not there, and no root where none was found", () => {
    const found = certificateLines(leaf, [], undefined, oids, now)
    assert.strictEqual(found.at(-1), "  issued by      CN=Test Intermediate")
  })

  it("says what is wrong with an extension, or that it is absent", async () => {
    const odd = await leafOf({
      replaced: { grantId: extension(oids.grantId, printable(grantId)), subjectUserId: undefined }
    })
    const found = lines(odd)
    assert.include(found, "  grantId        expected tag 0C (UTF8String), found 13  (the grant)")
    assert.include(found, "  subjectUserId  absent")
  })

  const forgeries: ReadonlyArray<readonly [string, string]> = [
    ["a\n  root           CN=Forged, pinned", "a\\u000a  root           CN=Forged, pinned"],
    ["a\u001b[2K\rb", "a\\u001b[2K\\u000db"],
    ["a\u202eb", "a\\u202eb"],
    ["a\u2028b", "a\\u2028b"],
    ["a\u{e0041}b", "a\\u{e0041}b"]
  ]
  for (const [subject, expected] of forgeries) {
    it(`lets no name forge what is read: ${expected}`, () => {
      const forged = rewritten(leaf.der, intermediate, (members) => [
        ...members.slice(0, 5),
        commonName(subject),
        ...members.slice(6)
      ])
      assert.include(lines(parsed(forged)), `  subject        CN=${expected}`)
    })
  }

  for (const [at, expected] of [
    ["2026-03-02T12:00:00.000Z", "expired"],
    ["2026-03-02T11:59:59.000Z", "1 s left"],
    ["2026-03-02T11:00:00.000Z", "1 h left"],
    ["2026-03-02T10:58:59.000Z", "1 h 1 min left"],
    ["2026-02-01T11:00:00.000Z", "29 d 1 h left"]
  ] as const) {
    it(`says ${expected}`, () =>
      assert.strictEqual(timeLeft(new Date("2026-03-02T12:00:00.000Z"), new Date(at)), expected))
  }

  it("writes times in UTC to the second", () => {
    assert.strictEqual(utc(new Date("2026-03-01T12:00:00.999Z")), "2026-03-01 12:00:00 UTC")
  })

  it("has a line for each check: passed, failed with both sides, or not applicable", async () => {
    const odd = await leafOf({ subject: `CN=${subjectUserId}` })
    const evaluations = evaluate({ leaf: odd, chain }, {}, { roots: [root.certificate], oids, now })
    const found = conformanceLines(evaluations)
    assert.strictEqual(found.length, evaluations.length)
    assert.strictEqual(found[0], "  ok    version: 3")
    assert.include(found, `  FAIL  subject: expected CN=${grantId}, found CN=${subjectUserId}`)
    assert.include(found, "  n/a   notBefore: not known here")
  })
})
