/** A certificate as a file holds it: the leaf, and whatever of its chain comes with it. */
import { CertificateUnreadable } from "@mosaic-federation/domain/CertificateErrors"
import { type Certificate, parseCertificates } from "@mosaic-federation/x509/Certificate"
import { Effect, Result } from "effect"
import { inputName, readInput } from "./InputFile.ts"

interface CertificateFile {
  /** The name that errors give to it. */
  readonly source: string
  readonly leaf: Certificate
  /** In the order of the file; the root may be among them. */
  readonly chain: ReadonlyArray<Certificate>
}

/** PEM, leaf first, or one certificate in DER. */
export const readCertificateFile = Effect.fnUntraced(function* (path: string) {
  const source = inputName(path)
  const bytes = yield* readInput(path)
  const [leaf, ...chain] = yield* Effect.fromResult(
    Result.mapError(
      parseCertificates(bytes),
      ({ message }) => new CertificateUnreadable({ source, problem: message })
    )
  )
  if (leaf === undefined) return yield* new CertificateUnreadable({ source, problem: "it is empty" })
  return { source, leaf, chain } satisfies CertificateFile
})
