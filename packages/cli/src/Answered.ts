/** A command that has failed and has told so within its own document: only the exit code is left, and the three lines. */
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { Data } from "effect"

export class Answered extends Data.TaggedError("Answered")<{ readonly error: MosaicError }> {}
