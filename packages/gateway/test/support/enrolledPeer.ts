/** A grant, and a peer that came to its first certificate as peers do: by a token. */
import { createPrivateKey, randomUUID } from "node:crypto"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { UserId } from "@mosaic-federation/domain/UserId"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { type CsrKind, makeCsr } from "@mosaic-federation/testing/Csr"
import { parseCertificate } from "@mosaic-federation/x509/Certificate"
import { DateTime, Effect, Result } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { Enrollment } from "../../src/peer/Enrollment.ts"
import { EnrollmentTokens } from "../../src/peer/EnrollmentTokens.ts"

const makeGrant = Effect.gen(function* () {
  const grants = yield* GrantRepo
  return yield* grants.create(
    new NewGrant({
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make("gateway.example"),
      scopes: ["orders:read"],
      expiresAt: DateTime.addDuration(yield* DateTime.now, "30 days")
    })
  )
})

/** Age of its certificate in minutes: a young one is not renewed. */
export const enrolledPeer = Effect.fnUntraced(function* (
  options: { readonly kind?: CsrKind; readonly minutes?: number } = {}
) {
  const grant = yield* makeGrant
  const tokens = yield* EnrollmentTokens
  const { secret } = yield* tokens.create({
    grantId: grant.id,
    url: "https://gateway.example:8443",
    roots: ["ab".repeat(32)],
    createdBy: "cli"
  })
  const csr = yield* makeCsr(options.kind ?? "P-256")
  const enrollment = yield* Enrollment
  const { issued } = yield* enrollment.redeem({
    token: secret,
    csrPem: csr.pem,
    redeemer: { from: "198.51.100.7", requestId: "req-1" }
  })
  const minutes = options.minutes ?? 10
  yield* SqlClient.use(
    (sql) => sql`
      UPDATE federation_certificates SET requested_at = requested_at - make_interval(mins => ${minutes})
      WHERE serial = ${issued.serial}`
  )
  const certificate = Result.getOrThrow(parseCertificate(issued.certificate))
  return { grant, issued, certificate, csr, key: createPrivateKey(csr.privateKeyPem) }
})
