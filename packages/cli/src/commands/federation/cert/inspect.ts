import { CertificateDocument } from "@mosaic-federation/domain/api/CertificateDocument"
import { GrantDocument } from "@mosaic-federation/domain/api/GrantDocument"
import { isMosaicError, type MosaicError } from "@mosaic-federation/domain/MosaicError"
import { type Evaluation, evaluate } from "@mosaic-federation/x509/CertificateConformance"
import { certificateLines, conformanceLines } from "@mosaic-federation/x509/CertificateReport"
import { checkPath } from "@mosaic-federation/x509/CertificationPath"
import { DateTime, Effect, Option, Result, Schema } from "effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { revocationNotes } from "../../../CertificateRecordView.ts"
import { readCertificateFile } from "../../../CertificateFile.ts"
import { certificateDocument, checksDocument } from "../../../CertificateView.ts"
import { rootFlag } from "../../../flags.ts"
import { askedOf, type KnownHere, lookUp } from "../../../KnownHere.ts"
import { print } from "../../../Output.ts"
import { readTrust } from "../../../Trust.ts"

const flags = {
  file: Argument.String("file").pipe(
    Argument.withDescription("The certificate, PEM with its chain or DER; - for standard input")
  ),
  root: rootFlag
}

type Looked = Result.Result<Option.Option<KnownHere>, MosaicError>

const known = (looked: Looked) => Option.getOrUndefined(Result.getOrElse(looked, () => Option.none()))

const knownLines = (looked: Looked): ReadonlyArray<string> => {
  if (Result.isFailure(looked)) {
    return [`  peer           not known: the records cannot be read (${looked.failure.code})`]
  }
  return Option.match(looked.success, {
    onNone: () => ["  peer           not known here: this certificate is not among the records"],
    onSome: ({ grant, record }) => [
      `  peer           ${grant.peer}, whose grant is ${grant.status} now`,
      `  scopes         ${grant.scopes.length === 0 ? "none" : grant.scopes.join(" ")}`,
      `  on record      ${[record.state, ...revocationNotes(record)].join(", ")}`
    ]
  })
}

/** Without a pinned root there is nothing to follow the chain to: that is no fault of the certificate. */
const withoutRoot = (evaluation: Evaluation): Evaluation =>
  evaluation.field === "chain"
    ? { ...evaluation, outcome: "not-applicable", found: "no root given: add --root FILE" }
    : evaluation

/** A defect stays one. */
const lookUpOrSay = (leaf: Parameters<typeof lookUp>[0]) =>
  Effect.flatMap(Effect.result(lookUp(leaf)), (looked): Effect.Effect<Looked> => {
    if (Result.isSuccess(looked)) return Effect.succeed(Result.succeed(looked.success))
    return isMosaicError(looked.failure)
      ? Effect.succeed(Result.fail(looked.failure))
      : Effect.die(looked.failure)
  })

const verifyCommand = (file: string, root: Option.Option<string>, isRootSet: boolean) => {
  const command = `mosaic federation cert verify ${file}`
  if (Option.isSome(root)) return `${command} --root ${root.value}`
  return isRootSet ? command : `${command} --root FILE`
}

export const inspect = Command.make(
  "inspect",
  flags,
  Effect.fn("cert inspect")(function* ({ file, root }) {
    const { chain, leaf, source } = yield* readCertificateFile(file)
    const { oids, roots } = yield* readTrust(root)
    const now = yield* DateTime.now
    const date = DateTime.toDateUtc(now)
    const looked = yield* lookUpOrSay(leaf)
    const here = known(looked)
    const evaluations = evaluate({ leaf, chain }, here === undefined ? {} : askedOf(here), {
      roots,
      oids,
      now: date
    }).map((evaluation) => (roots.length === 0 ? withoutRoot(evaluation) : evaluation))
    const pinned = Result.getOrUndefined(checkPath(leaf, chain, roots, date))
    const failed = evaluations.filter(({ outcome }) => outcome === "mismatch")
    const verdict =
      failed.length === 0
        ? `It has the form of a grant certificate. Whether to accept it: ${verifyCommand(file, root, roots.length > 0)}`
        : `It is no valid grant certificate: ${failed.map(({ field }) => field).join(", ")}.`
    yield* print({
      document: {
        source,
        ...certificateDocument(leaf, chain, oids, date),
        peer: here?.grant.peer ?? null,
        record: here === undefined ? null : Schema.encodeSync(CertificateDocument)(here.record),
        grant: here === undefined ? null : Schema.encodeSync(GrantDocument)(here.grant),
        conformant: failed.length === 0,
        checks: checksDocument(evaluations)
      },
      lines: [
        `Certificate in ${source}`,
        ...certificateLines(leaf, chain, pinned, oids, date),
        ...knownLines(looked),
        "",
        "Checks",
        ...conformanceLines(evaluations),
        "",
        verdict
      ]
    })
  })
).pipe(
  Command.withDescription(
    "Decode a grant certificate for a person: both ids, peer, validity, chain, every check. It shows, cert verify judges"
  ),
  Command.withExamples([
    { command: "mosaic federation cert inspect peer.crt", description: "What this certificate says" },
    {
      command: "mosaic federation cert inspect peer.crt --root root_ca.crt --json",
      description: "With the chain followed to the pinned root, for a script"
    }
  ])
)
