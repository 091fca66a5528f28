/** Arbitrary bytes, and arbitrary damage to bytes that are right: flipped, inserted, deleted, cut off, appended to. */
import { Arbitrary, Schema } from "effect"

const octet = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xff }))

export const octets = (most: number) =>
  Arbitrary.map(Arbitrary.array(Arbitrary.schema(octet), { maxLength: most }), (values) =>
    Uint8Array.from(values)
  )

/** A UUID as RFC 9562 §4 spells it, of any version and variant. */
export const uuid = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(octet), { minLength: 16, maxLength: 16 }),
  (values) =>
    Buffer.from(values)
      .toString("hex")
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")
)

const damage = Schema.Struct({
  kind: Schema.Literals(["flip", "insert", "delete", "truncate", "append"]),
  /** Where, as a part of the length in 65,536ths. */
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff })),
  octet
})

type Damage = typeof damage.Type

const damaged = (bytes: Uint8Array, { at, kind, octet }: Damage): Uint8Array => {
  const position = Math.floor((at * bytes.length) / 0x1_0000)
  switch (kind) {
    case "flip":
      return bytes.map((value, index) => (index === position ? value ^ (octet === 0 ? 0xff : octet) : value))
    case "insert":
      return Uint8Array.of(...bytes.subarray(0, position), octet, ...bytes.subarray(position))
    case "delete":
      return Uint8Array.of(...bytes.subarray(0, position), ...bytes.subarray(position + 1))
    case "truncate":
      return bytes.slice(0, position)
    case "append":
      return Uint8Array.of(...bytes, octet)
  }
}

/** One to three kinds of damage in a row; two of them may repair each other. */
export const mutation = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(damage), { minLength: 1, maxLength: 3 }),
  (steps) => (bytes: Uint8Array) => steps.reduce(damaged, bytes)
)
