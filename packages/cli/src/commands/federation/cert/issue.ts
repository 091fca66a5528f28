import { IssuedDocument } from "@mosaic-federation/domain/api/CertificateDocument"
import { OutputUnwritable, UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { Lifetime } from "@mosaic-federation/domain/Lifetime"
import { parseCertificate } from "@mosaic-federation/x509/Certificate"
import * as CertificateRequest from "@mosaic-federation/x509/CertificateRequest"
import { timeLeft, utc } from "@mosaic-federation/x509/CertificateReport"
import { resolve } from "node:path"
import { DateTime, Effect, Option, Redacted, Result, Schema } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { certOutFlag, forceFlag, grantFlag, optional, required, userFlag } from "../../../flags.ts"
import { keyTypes } from "@mosaic-federation/gateway/client/KeyType"
import { print } from "../../../Output.ts"
import { type OutputFile, prepareOutput, reasonOf } from "../../../OutputFile.ts"
import { readRequest } from "../../../RequestFile.ts"
import { useIssuing } from "../../../Services.ts"

const help = "mosaic federation cert issue --help"

const flags = {
  grant: required(grantFlag),
  user: optional(
    userFlag.pipe(
      Flag.withDescription(
        "The user it must act for, where you want that checked; by default the grant's own"
      )
    )
  ),
  csr: Flag.String("csr").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription("The peer's request (PKCS#10, PEM or DER); - for standard input"),
    optional
  ),
  keyOut: Flag.String("key-out").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription("Or make a key here, into this file with mode 0600, and request for it"),
    optional
  ),
  keyType: Flag.Literals("key-type", keyTypes).pipe(
    Flag.withDescription("The kind of key that --key-out makes: p256 by default"),
    optional
  ),
  certOut: certOutFlag,
  lifetime: Flag.String("lifetime").pipe(
    Flag.withSchema(Lifetime),
    Flag.withMetavar("<duration>"),
    Flag.withDescription(
      "How long it lives: 24h, 90m, 1h30m; given in full or refused. By default MOSAIC_CERT_DEFAULT, or what the grant has left"
    ),
    optional
  ),
  force: forceFlag
}

interface Files {
  readonly csr: Option.Option<string>
  readonly keyOut: Option.Option<string>
  readonly keyType: Option.Option<(typeof keyTypes)[number]>
  readonly certOut: string
}

const checkFiles = ({ certOut, csr, keyOut, keyType }: Files): Option.Option<UsageInvalid> => {
  const invalid = (problem: string) => Option.some(new UsageInvalid({ problem, help }))
  if (Option.isSome(csr) && Option.isSome(keyOut)) return invalid("--csr and --key-out are both given")
  if (Option.isNone(csr) && Option.isNone(keyOut))
    return invalid("one of --csr FILE (the peer's request) and --key-out FILE (make a key here) is needed")
  if (Option.isSome(keyType) && Option.isNone(keyOut))
    return invalid("--key-type goes with --key-out: the key of a CSR is the peer's")
  const inputs = [...Option.toArray(csr), ...Option.toArray(keyOut)].filter((path) => path !== "-")
  if (inputs.some((path) => resolve(path) === resolve(certOut)))
    return invalid(`--cert-out names the same file as ${Option.isSome(csr) ? "--csr" : "--key-out"}`)
  return Option.none()
}

interface PreparedKey {
  readonly csrPem: string
  readonly key: Option.Option<{ readonly file: OutputFile; readonly pem: Redacted.Redacted }>
}

const prepareKey = Effect.fnUntraced(function* ({ csr, keyOut, keyType }: Files, force: boolean) {
  if (Option.isNone(keyOut)) {
    const csrPem = yield* readRequest(Option.getOrElse(csr, () => "-"))
    return { csrPem, key: Option.none() } satisfies PreparedKey
  }
  const file = yield* prepareOutput(keyOut.value, { mode: 0o600, force })
  const { makePeerKey } = yield* Effect.promise(() => import("@mosaic-federation/gateway/client/PeerKey"))
  const made = yield* makePeerKey(Option.getOrElse(keyType, () => "p256" as const))
  const pem = made.privateKeyPem
  yield* file.fill(Redacted.value(pem)).pipe(
    Effect.mapError(
      (error) =>
        new OutputUnwritable({
          path: file.path,
          reason: reasonOf(error),
          recovery: "make room (df -h) or name another file; nothing was issued"
        })
    )
  )
  return { csrPem: made.csrPem, key: Option.some({ file, pem }) } satisfies PreparedKey
})

/** The certificate is on record and the key is on disk: neither is lost when a name cannot be given. */
const commit = Effect.fnUntraced(function* (
  issued: IssuedDocument,
  certificate: OutputFile,
  key: PreparedKey["key"]
) {
  const recovery = `the certificate is on record: mosaic federation cert export ${issued.serial} --cert-out FILE`
  const failed = (file: OutputFile, recovery: string) => (error: NodeJS.ErrnoException) =>
    new OutputUnwritable({ path: file.path, reason: reasonOf(error), recovery })
  if (Option.isSome(key)) {
    const { file } = key.value
    yield* file.commit.pipe(
      Effect.tapError(() => file.keep),
      Effect.mapError(failed(file, `the key is in ${file.temporary}, move it; ${recovery}`))
    )
  }
  yield* Effect.andThen(
    certificate.fill(issued.certificate + issued.chain.join("")),
    certificate.commit
  ).pipe(Effect.mapError(failed(certificate, recovery)))
})

const ignoredExtensions = (csrPem: string): ReadonlyArray<string> =>
  Result.match(CertificateRequest.parse(csrPem), {
    onSuccess: ({ requestedExtensions }) => requestedExtensions,
    onFailure: () => []
  })

export const issue = Command.make(
  "issue",
  flags,
  Effect.fn("cert issue")(function* ({ certOut, csr, force, grant, keyOut, keyType, lifetime, user }) {
    const files = { certOut, csr, keyOut, keyType }
    const problem = checkFiles(files)
    if (Option.isSome(problem)) return yield* problem.value
    const certificate = yield* prepareOutput(certOut, { mode: 0o644, force })
    const { csrPem, key } = yield* prepareKey(files, force)
    const issued = yield* useIssuing((issuing) =>
      Effect.gen(function* () {
        const issued = yield* issuing.issue({
          grantId: grant,
          csrPem,
          ...(Option.isSome(user) ? { subjectUserId: user.value } : {}),
          ...(Option.isSome(lifetime) ? { lifetime: lifetime.value } : {})
        })
        yield* Effect.uninterruptible(commit(issued, certificate, key))
        yield* issuing.tidy
        return issued
      })
    )
    const now = yield* DateTime.now
    const leaf = yield* Effect.orDie(Effect.fromResult(parseCertificate(issued.certificate)))
    const ignored = ignoredExtensions(csrPem)
    const keyFile = Option.getOrNull(keyOut)
    yield* print({
      document: {
        ...Schema.encodeSync(IssuedDocument)(issued),
        ignoredExtensions: ignored,
        files: { certificate: certOut, key: keyFile }
      },
      lines: [
        `Issued a certificate to ${issued.peer} under grant ${issued.grantId}`,
        `  acts for     user ${issued.subjectUserId}`,
        `  serial       ${issued.serial}`,
        `  valid to     ${utc(leaf.notAfter)}  (${timeLeft(leaf.notAfter, DateTime.toDateUtc(now))})`,
        `  fingerprint  SHA-256 ${leaf.fingerprintSha256}`,
        `  certificate  ${certOut}`,
        ...(keyFile === null ? [] : [`  key          ${keyFile} (mode 0600)`]),
        ...(ignored.length === 0
          ? []
          : [`  ignored      extensions that the CSR asked for: ${ignored.join(", ")}`]),
        "",
        `Next: mosaic federation cert inspect ${certOut}`
      ]
    })
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Issue a certificate under a grant: signed by step-ca, compared with the grant field by field, recorded, and only then written"
  ),
  Command.withExamples([
    {
      command:
        "mosaic federation cert issue --grant 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c --csr request.csr --cert-out peer.crt",
      description: "For the peer's own request; its key never leaves the peer"
    },
    {
      command:
        "mosaic federation cert issue --grant 0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c --key-out peer.key --cert-out peer.crt --lifetime 1h",
      description: "With a key made here, for one hour"
    }
  ])
)
