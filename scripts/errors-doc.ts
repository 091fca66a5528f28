/**
 * Writes docs/errors.md from the catalogue of errors and one example of each, and holds the page and the README's table
 * against them. What an error means is said in its class alone.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { errorDocument, errorLines } from "../packages/cli/src/ErrorReport.ts"
import * as Ca from "../packages/domain/src/CaErrors.ts"
import * as Certificate from "../packages/domain/src/CertificateErrors.ts"
import * as Command from "../packages/domain/src/CommandErrors.ts"
import * as Configuration from "../packages/domain/src/ConfigurationErrors.ts"
import * as Enrollment from "../packages/domain/src/EnrollmentErrors.ts"
import { ExitCode } from "../packages/domain/src/ExitCode.ts"
import * as Gateway from "../packages/domain/src/GatewayErrors.ts"
import * as Grants from "../packages/domain/src/GrantErrors.ts"
import { catalogue } from "../packages/domain/src/MosaicError.ts"
import * as Peer from "../packages/domain/src/PeerErrors.ts"
import * as PeerSide from "../packages/domain/src/PeerSideErrors.ts"
import * as Request from "../packages/domain/src/RequestErrors.ts"
import * as Rotation from "../packages/domain/src/RotationErrors.ts"
import * as Server from "../packages/domain/src/ServerErrors.ts"
import * as Storage from "../packages/domain/src/StorageErrors.ts"
import * as Transport from "../packages/domain/src/TransportErrors.ts"
import { errorExamples } from "../packages/domain/test/support/errorExamples.ts"
import { root } from "./tasks/root.ts"

const page = "docs/errors.md"

const meanings: Readonly<Record<keyof typeof ExitCode, string>> = {
  done: "done",
  usage: "the command line or a request is wrong",
  refused: "refused by the grant or by policy",
  caRefused: "refused by the CA",
  unavailable: "the CA or the network to it is unavailable",
  withheld: "a certificate is not what it must be, and is withheld",
  storage: "storage: the database, or a file to be written",
  configuration: "configuration",
  warned: "`mosaic gateway doctor --strict` has warnings",
  failed: "`mosaic gateway doctor` found something that does not work",
  bug: "a defect in this program"
}

const sections: ReadonlyArray<readonly [string, string, object]> = [
  [
    "Configuration",
    "Found when the program starts, before anything is served or sent. The message names the variable; values of secrets are never shown.",
    Configuration
  ],
  ["Requests", "Found in what was handed in, before the CA is asked.", Request],
  ["Grants", "Found in the grant's row. All but `GRANT_ENDED_IN_FLIGHT` before the CA is asked.", Grants],
  [
    "Enrollment",
    "Found when a peer redeems its enrollment token. A failed try leaves the token valid.",
    Enrollment
  ],
  [
    "Peers",
    "Found when a peer shows its certificate, at each request and not at the handshake, or asks for the next one.",
    Peer
  ],
  [
    "Server",
    "Found before the request is looked at, whatever it asks for; in `docs/api.md` they are errors of every endpoint.",
    Server
  ],
  [
    "The way to the gateway",
    "Found by a client: `mosaic` with `--gateway`, or the peer's side. What the gateway itself refuses has an error of its own class, the same as where its database is.",
    Gateway
  ],
  [
    "The peer's side",
    "Found by `mosaic federation enroll` and `mosaic federation agent` themselves ([docs/federation/peer.md](federation/peer.md)).",
    PeerSide
  ],
  [
    "Transport",
    "The pinned connection to the CA. Where the request may have been read, a certificate may exist: its serial is revoked at the CA before the error is told, or `ISSUANCE_AMBIGUOUS` is told instead.",
    Transport
  ],
  [
    "The CA's answers",
    "step-ca words every 401 alike, so the cause is looked up: proved, it has an error of its own; unproved, it is `CA_TOKEN_REFUSED`. The X-Request-Id leads to the line in the CA's log.",
    Ca
  ],
  ["Certificates", "Certificates that are not handed out, and files that hold no good one.", Certificate],
  ["Storage", "The database of grants and certificates.", Storage],
  [
    "The rotation of a provisioner's key",
    "What stops `mosaic federation provisioner rotate`. Certificates go on being issued, and the same command goes on from there.",
    Rotation
  ],
  ["The command", "What only `mosaic` can meet.", Command]
]

const exampleOf = (code: string) => {
  const example = errorExamples.find((error) => error.code === code)
  if (example === undefined) throw new Error(`there is no example of ${code}`)
  return example
}

const codesIn = (module: object): ReadonlyArray<string> => {
  const exported = new Set(
    Object.values(module).flatMap((value: unknown) =>
      typeof value === "function" && "code" in value ? [value.code] : []
    )
  )
  return catalogue.map(({ code }) => code).filter((code) => exported.has(code))
}

const anchor = (code: string) => `[\`${code}\`](#${code.toLowerCase()})`

const entry = (code: string): string => {
  const { details, exitCode, httpStatus, message, remediation, retryable, title } = errorDocument(
    exampleOf(code)
  )
  const explanation = catalogue.find((one) => one.code === code)?.explanation ?? ""
  const fields = Object.keys(details).map((field) => `\`${field}\``)
  const facts = [
    `exit code ${exitCode}`,
    `HTTP ${httpStatus}`,
    retryable ? "trying again can help" : "trying again alone does not help",
    fields.length === 0 ? "no details" : `details: ${fields.join(", ")}`
  ]
  return `### ${code}

**${title}.** ${explanation}

\`\`\`text
evidence:    ${message}
what to do:  ${remediation}
\`\`\`

${facts.join(" · ")}
`
}

const exitCodes = Object.entries(ExitCode)
  .map(([name, exitCode]) => {
    const codes = catalogue.filter((one) => one.exitCode === exitCode).map(({ code }) => anchor(code))
    return `| ${exitCode} | ${meanings[name as keyof typeof ExitCode]} | ${codes.join(" ")} |`
  })
  .join("\n")

const shown = "GRANT_REVOKED"

const rendered = (): string => `# Errors

<!-- Written by npm run fix from packages/domain/src/*Errors.ts: change the text there. -->

Whatever fails, fails with one of these ${catalogue.length} errors. The set is closed: a program can handle every member,
and a code, once published, keeps its meaning, its exit code and its HTTP status.

## How to read one

\`mosaic\` prints three lines on stderr: what failed, with the code to look up here; why, which is the evidence that was
found, with fields under the names of their standards; and what to do about it.

\`\`\`text
${errorLines(exampleOf(shown)).join("\n")}
\`\`\`

With \`--json\` the same is one object on stdout:

\`\`\`json
${JSON.stringify({ error: errorDocument(exampleOf(shown)) }, null, 2)}
\`\`\`

- \`retryable\` is true where the same call may succeed later with nothing changed. Asking again is safe: where a
  certificate may have been signed although no answer came, its serial was revoked before the error was told. Only
  ${anchor("ISSUANCE_AMBIGUOUS")} means that this failed; it names the serial and the time by which it is dead.
- \`details\` has the fields of that error. There is no cause and no stack in it: what is not listed here is not sent.
- In code, each is a tagged class of \`packages/domain\` with the same members: \`Effect.catchTag("GrantRevoked", ...)\`.

The examples below are of one imagined installation. \`mosaic federation errors CODE\` explains a code without this page.

## Exit codes

| exit code | meaning | codes |
|---|---|---|
${exitCodes}

A command that is interrupted ends with 130, as the shell has it.

${sections
  .map(([title, about, module]) => `## ${title}\n\n${about}\n\n${codesIn(module).map(entry).join("\n")}`)
  .join("\n")}`

export const writeErrorsPage = (): void => writeFileSync(join(root, page), rendered())

/** A row of the README's table: the exit code, and the codes of errors that stand for it. */
const tableRows = (readme: string) =>
  [...readme.matchAll(/^\| (\d+) \| [^|]+ \|([^|]*)\|$/gm)].map(([, exitCode, codes]) => ({
    exitCode: Number(exitCode),
    codes: [...(codes ?? "").matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code ?? "")
  }))

const readmeProblems = (): ReadonlyArray<string> => {
  const rows = tableRows(readFileSync(join(root, "README.md"), "utf8"))
  const missing = Object.values(ExitCode)
    .filter((exitCode) => !rows.some((row) => row.exitCode === exitCode))
    .map((exitCode) => `README.md: the table of errors lacks exit code ${exitCode}`)
  const wrong = rows.flatMap(({ codes, exitCode }) =>
    codes
      .filter((code) => !catalogue.some((one) => one.code === code && one.exitCode === exitCode))
      .map((code) => `README.md: the table of errors gives ${code} exit code ${exitCode}, which is not so`)
  )
  return [...missing, ...wrong]
}

const current = (): string => {
  try {
    return readFileSync(join(root, page), "utf8")
  } catch {
    return ""
  }
}

/** What is wrong, one line each. */
export const errorsPageProblems = (): ReadonlyArray<string> => [
  ...(current() === rendered() ? [] : [`${page} is not what the errors say: npm run fix writes it`]),
  ...readmeProblems()
]
