/** A certificate for a CSR that an operator hands in: issued where the database is, or by a gateway that is asked for it. */
import { randomUUID } from "node:crypto"
import type { IssuedDocument } from "@mosaic-federation/domain/api/CertificateDocument"
import { GrantSubjectMismatch } from "@mosaic-federation/domain/GrantErrors"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import type { UserId } from "@mosaic-federation/domain/UserId"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Issuance } from "@mosaic-federation/issuance/Issuance"
import { Context, type Duration, Effect, Layer } from "effect"
import { GatewayClient } from "../client/GatewayClient.ts"
import { makeWorkOff } from "../tasks/workOff.ts"
import { issuedDocument } from "./certificateDocuments.ts"

export interface IssueOrder {
  readonly grantId: GrantId
  /** Whom the grant must act for, where that is to be checked. */
  readonly subjectUserId?: UserId
  readonly csrPem: string
  readonly lifetime?: Duration.Duration
}

export class Issuing extends Context.Service<
  Issuing,
  {
    readonly issue: (order: IssueOrder) => Effect.Effect<IssuedDocument, MosaicError>
    /** Settles, and has revoked, what programs before left behind when they were killed; a gateway does so itself. */
    readonly tidy: Effect.Effect<void>
  }
>()("@mosaic-federation/gateway/Issuing") {
  static readonly layerHere = Layer.effect(
    Issuing,
    Effect.gen(function* () {
      const grants = yield* GrantRepo
      const issuance = yield* Issuance
      return Issuing.of({
        tidy: yield* makeWorkOff,
        issue: Effect.fn("Issuing.issue")(function* ({ csrPem, grantId, lifetime, subjectUserId }) {
          const grant = yield* grants.find(grantId)
          const request = new IssueCertRequest({
            grantId,
            subjectUserId: subjectUserId ?? grant.subjectUserId,
            csrPem,
            ...(lifetime === undefined ? {} : { lifetime })
          })
          return issuedDocument(yield* issuance.issue(request), grant)
        })
      })
    })
  )

  /** An answer that is lost is asked for once more: the Idempotency-Key makes both requests one. */
  static readonly layerOverApi = Layer.effect(
    Issuing,
    GatewayClient.use(({ ask }) =>
      Effect.succeed(
        Issuing.of({
          tidy: Effect.void,
          issue: Effect.fn("Issuing.issue")(function* ({ csrPem, grantId: id, lifetime, subjectUserId }) {
            if (subjectUserId !== undefined) {
              const grant = yield* ask((api) => api.grants.get({ params: { id } }))
              if (grant.subjectUserId !== subjectUserId)
                return yield* new GrantSubjectMismatch({ grantId: id, asked: subjectUserId })
            }
            const idempotencyKey = randomUUID()
            return yield* ask((api) =>
              api.certificates.issue({
                params: { id },
                headers: { "idempotency-key": idempotencyKey },
                payload: { csr: csrPem, ...(lifetime === undefined ? {} : { lifetime }) }
              })
            ).pipe(Effect.retry({ times: 1, while: ({ code }) => code === "GATEWAY_ANSWER_LOST" }))
          })
        })
      )
    )
  )
}
