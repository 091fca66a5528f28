import { timeLeft, utc } from "@mosaic-federation/x509/CertificateReport"
import { DateTime, Effect, Schema } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { required } from "../../flags.ts"
import { print } from "../../Output.ts"

const flags = {
  dir: Flag.String("dir").pipe(
    Flag.withMetavar("<directory>"),
    Flag.withDescription("The directory that enroll wrote"),
    required
  )
}

const load = Effect.promise(() =>
  Promise.all([
    import("@mosaic-federation/domain/api/IdentityApi"),
    import("@mosaic-federation/gateway/client/PeerDirectory"),
    import("@mosaic-federation/gateway/client/PeerQuestion"),
    import("@mosaic-federation/gateway/client/RenewalAgent")
  ])
)

export const whoami = Command.make(
  "whoami",
  flags,
  Effect.fn("whoami")(function* ({ dir }) {
    const [{ IdentityDocument }, { viewDirectory }, PeerQuestion, { requireKey }] = yield* load
    const peer = yield* requireKey(yield* viewDirectory(dir))
    const identity = yield* PeerQuestion.whoami(peer)
    const { certificate, grantId, scopes, subjectUserId } = identity
    const notAfter = DateTime.toDateUtc(certificate.notAfter)
    yield* print({
      document: Schema.encodeSync(Schema.toCodecJson(IdentityDocument))(identity),
      lines: [
        `${peer.held.url.origin} knows this peer as ${identity.peer}`,
        `  grant        ${grantId}, until ${utc(DateTime.toDateUtc(identity.grantExpiresAt))}`,
        `  acts for     user ${subjectUserId}`,
        `  scopes       ${scopes.length === 0 ? "none" : scopes.join(", ")}`,
        `  serial       ${certificate.serial}`,
        `  valid to     ${utc(notAfter)}  (${timeLeft(notAfter, DateTime.toDateUtc(yield* DateTime.now))})`
      ]
    })
  })
).pipe(
  Command.withDescription(
    "Ask the gateway whom it takes this peer for now: the certificate, its record and the grant are checked at this moment"
  ),
  Command.withExamples([
    {
      command: "mosaic federation whoami --dir /var/lib/mosaic/peer",
      description: "Whether the certificate is worth something at this moment"
    }
  ])
)
