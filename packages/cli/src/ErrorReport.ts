/** An error of the union as its reader wants it: three lines for a person, one JSON object for a program. */
import { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { Schema } from "effect"
import { printable } from "./printable.ts"

const encode = Schema.encodeSync(MosaicError)

/** The shape under `error` of every failed command with `--json`. `details` holds the fields of its class. */
export const errorDocument = (error: MosaicError) => {
  const { _tag, ...details } = encode(error)
  const { code, exitCode, httpStatus, message, remediation, retryable, title } = error
  return { code, title, message, remediation, retryable, exitCode, httpStatus, details }
}

const oneLine = (text: string) => printable(text.replaceAll(/\s*\n\s*/g, " "))

export const errorLines = ({ code, message, remediation, title }: MosaicError): ReadonlyArray<string> => [
  `${title} (${code})`,
  `  why: ${oneLine(message)}`,
  `  do:  ${oneLine(remediation)}`
]
