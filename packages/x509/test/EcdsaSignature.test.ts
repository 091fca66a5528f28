/** R and S side by side are what Node verifies in the form of JWS, however short the DER made them. */
import { generateKeyPairSync, sign, verify } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { concatenated } from "../src/EcdsaSignature.ts"
import { element, integer, nothing, sequence } from "./support/Der.ts"

const curves = [
  { namedCurve: "P-256", digest: "sha256", octets: 32 },
  { namedCurve: "P-384", digest: "sha384", octets: 48 }
] as const

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

const side = (value: string, octets: number) => value.padStart(octets * 2, "0")

describe("EcdsaSignature", () => {
  for (const { digest, namedCurve, octets } of curves) {
    it(`of ${namedCurve} verifies side by side, short R and S among them`, () => {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve })
      const lengths = new Set<number>()
      for (let round = 0; round < 400; round += 1) {
        const data = Buffer.from(`${namedCurve} ${round}`)
        const der = sign(digest, data, privateKey)
        lengths.add(der.length)
        const signature = Result.getOrThrow(concatenated(der, octets))
        assert.strictEqual(signature.length, 2 * octets)
        assert.isTrue(verify(digest, data, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature))
      }
      // One in 256 integers is an octet shorter than the rest, and one in two has a zero octet before it.
      assert.isAtLeast(lengths.size, 3)
    })
  }

  it("is padded on the left, and has no octet for the sign", () => {
    for (const { octets } of curves) {
      const largest = (1n << BigInt(octets * 8)) - 1n
      for (const [r, s] of [
        [1n, 0x80n],
        [0xffn, 0x0100n],
        [largest, 1n],
        [largest >> 8n, largest >> 1n]
      ] as const)
        assert.strictEqual(
          hex(Result.getOrThrow(concatenated(sequence(integer(r), integer(s)), octets))),
          side(r.toString(16), octets) + side(s.toString(16), octets)
        )
    }
  })

  const refused: ReadonlyArray<readonly [string, Uint8Array, string]> = [
    ["nothing", new Uint8Array(), "an element is missing at octet 0"],
    ["one number", sequence(integer(1n)), "s is missing at octet 0"],
    ["three numbers", sequence(integer(1n), integer(1n), integer(1n)), "ECDSA-Sig-Value: 3 of 2 members"],
    ["something else", sequence(integer(1n), nothing), "s: expected tag 0x02, found 0x05 at octet 5"],
    ["zero", sequence(integer(0n), integer(1n)), "r: not a positive number of 32 octets"],
    [
      "a negative number",
      sequence(integer(1n), element(0x02, Uint8Array.of(0xff))),
      "s: not a positive number of 32 octets"
    ],
    [
      "a number of another curve",
      sequence(integer(1n << 256n), integer(1n)),
      "r: not a positive number of 32 octets"
    ],
    [
      "an octet after it",
      Uint8Array.of(...sequence(integer(1n), integer(1n)), 0),
      "1 trailing octets at octet 8"
    ]
  ]
  for (const [what, der, message] of refused) {
    it(`is not made of ${what}`, () => {
      const result = concatenated(der, 32)
      assert(Result.isFailure(result))
      assert.strictEqual(result.failure.message, message)
    })
  }
})
