import { UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { keyTypes } from "@mosaic-federation/gateway/client/KeyType"
import { timeLeft, utc } from "@mosaic-federation/x509/CertificateReport"
import { join } from "node:path"
import { DateTime, Effect, Option } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { readEnrollmentToken } from "../../EnrollmentTokenInput.ts"
import { forceFlag, optional, required } from "../../flags.ts"
import { print } from "../../Output.ts"
import { readRequest } from "../../RequestFile.ts"
import { readTrust } from "../../Trust.ts"

const help = "mosaic federation enroll --help"

const flags = {
  url: Flag.String("url").pipe(
    Flag.withMetavar("<url>"),
    Flag.withDescription(
      "The gateway, where you want to be sure: the token carries its URL, and both must agree"
    ),
    optional
  ),
  tokenFile: Flag.String("token-file").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription(
      "The file with the token, - for standard input; by default MOSAIC_ENROLL_TOKEN, else standard input"
    ),
    optional
  ),
  out: Flag.String("out").pipe(
    Flag.withMetavar("<directory>"),
    Flag.withDescription("Where peer.key, peer.crt, chain.crt and root.crt go; made with mode 0700"),
    required
  ),
  csr: Flag.String("csr").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription("The request of a key that is held elsewhere (PKCS#10, PEM or DER); no key is made"),
    optional
  ),
  keyType: Flag.Literals("key-type", keyTypes).pipe(
    Flag.withDescription("The kind of key that is made: p256 by default"),
    optional
  ),
  force: forceFlag
}

const urlOf = (text: string) => {
  const url = URL.parse(text)
  return url?.protocol === "https:"
    ? Effect.succeed(url)
    : Effect.fail(new UsageInvalid({ problem: "--url is not an https URL", help }))
}

const load = Effect.promise(() =>
  Promise.all([
    import("@mosaic-federation/gateway/client/PeerDirectory"),
    import("@mosaic-federation/gateway/client/PeerEnrollment"),
    import("@mosaic-federation/gateway/client/PeerKey")
  ])
)

export const enroll = Command.make(
  "enroll",
  flags,
  Effect.fn("enroll")(function* ({ csr, force, keyType, out, tokenFile, url }) {
    if (Option.isSome(csr) && Option.isSome(keyType)) {
      return yield* new UsageInvalid({
        problem: "--key-type goes without --csr: that key is made already",
        help
      })
    }
    const given = yield* Effect.transposeOption(Option.map(url, urlOf))
    const request = yield* Effect.transposeOption(Option.map(csr, readRequest))
    const { oids } = yield* readTrust(Option.none())
    const token = yield* readEnrollmentToken(tokenFile)
    const [{ createDirectory, names }, PeerEnrollment, { keyTypeOf, makePeerKey }] = yield* load

    // Before the gateway is asked: what it hands out must find its place.
    const directory = yield* createDirectory(out, { force })
    const makeKey = makePeerKey(Option.getOrElse(keyType, () => "p256" as const))
    const pending = Effect.flatMap(
      directory.interrupted,
      Option.match({ onNone: () => directory.pending(makeKey), onSome: Effect.succeed })
    )
    const key = Option.isSome(request) ? Option.none() : Option.some(yield* pending)
    if (Option.isSome(key) && Option.isSome(keyType)) {
      const found = keyTypeOf(key.value.privateKeyPem)
      if (found !== keyType.value) {
        return yield* new UsageInvalid({
          problem: `${join(out, "pending")} holds a key of ${found ?? "another kind"}, whose certificate may have been issued: leave --key-type out, or remove that directory`,
          help
        })
      }
    }
    const csrPem = Option.getOrElse(request, () => Option.getOrThrow(key).csrPem)
    const received = yield* PeerEnrollment.enroll({ token, csrPem, url: given, oids })
    yield* directory.install(
      received,
      "enrollment",
      Option.map(key, ({ privateKeyPem }) => privateKeyPem)
    )

    const { document, leaf, url: gateway } = received
    const files = {
      directory: out,
      key: Option.isSome(key) ? join(out, names.key) : null,
      certificate: join(out, names.certificate),
      chain: join(out, names.chain),
      root: join(out, names.root)
    }
    const now = DateTime.toDateUtc(yield* DateTime.now)
    yield* print({
      document: {
        gateway: gateway.origin,
        grantId: document.grantId,
        subjectUserId: document.subjectUserId,
        peer: document.peer,
        serial: leaf.serial,
        notBefore: leaf.notBefore.toISOString(),
        notAfter: leaf.notAfter.toISOString(),
        fingerprintSha256: leaf.fingerprintSha256,
        files
      },
      lines: [
        `Enrolled at ${gateway.origin} as ${document.peer}, under grant ${document.grantId}`,
        `  acts for     user ${document.subjectUserId}`,
        `  serial       ${leaf.serial}`,
        `  valid to     ${utc(leaf.notAfter)}  (${timeLeft(leaf.notAfter, now)})`,
        `  fingerprint  SHA-256 ${leaf.fingerprintSha256}`,
        ...(files.key === null ? [] : [`  key          ${files.key} (mode 0600)`]),
        `  certificate  ${files.certificate}`,
        `  root         ${files.root}`,
        "",
        files.key === null
          ? "Next: the key is held elsewhere, and so is its renewal: POST /v1/renew, docs/api.md"
          : `Next, to keep it renewed: mosaic federation agent --dir ${out}`
      ]
    })
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Turn an enrollment token into a certificate: the key is made here and stays here, and the token goes to the gateway that made it alone"
  ),
  Command.withExamples([
    {
      command: "mosaic federation enroll --token-file token --out /var/lib/mosaic/peer",
      description: "Key, certificate, chain and root, for one token"
    },
    {
      command:
        "mosaic federation enroll --url https://gateway.example:8443 --token-file token --out peer --csr request.csr",
      description: "For a key in a hardware module: its request comes from there"
    }
  ])
)
