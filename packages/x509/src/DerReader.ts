/**
 * Reads DER (X.690) without ever throwing or reading past its input. It knows identifiers, lengths and the few primitive
 * types that certificates are made of; what they mean is left to its callers.
 */
import type { Result } from "effect"
import * as Der from "./internal/der.ts"

export { Tag } from "./internal/der.ts"
export type { BitString, DerElement, DerFault } from "./internal/der.ts"

const total =
  <Arguments extends ReadonlyArray<unknown>, A>(read: (...given: Arguments) => A) =>
  (...given: Arguments): Result.Result<A, Der.DerFault> =>
    Der.attempt(() => read(...given))

/** The element that the input begins with, or that begins at an octet of it; what follows is not looked at. */
export const readElement = total((input: Uint8Array, at?: number) => Der.readElement(input, at))

/** All elements inside one, to its last octet. */
export const childrenOf = total(Der.childrenOf)

/** The one element that the input consists of. */
export const readWhole = total(Der.readWhole)

export const expectTag = total(Der.expectTag)

/** The children of an element of that tag. */
export const expectChildren = total(Der.expectChildren)

/** X.690 §8.19, in dotted form; arcs of up to 9 octets. */
export const readOid = total(Der.readOid)

/** X.690 §8.3, as an unbounded integer. */
export const readInteger = total(Der.readInteger)

/** X.690 §11.1: TRUE is 0xFF and nothing else. */
export const readBoolean = total(Der.readBoolean)

/** X.690 §8.6 and §11.2: at most seven unused bits, and all of them zero. */
export const readBitString = total(Der.readBitString)

/** RFC 5280 §4.1.2.5: UTCTime until 2049, GeneralizedTime after, both in whole seconds and Zulu. */
export const readTime = total(Der.readTime)
