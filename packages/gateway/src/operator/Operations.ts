/** What operators do, put together: on a database, or over the API of a gateway. */
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { CertificateLedger } from "@mosaic-federation/issuance/CertificateLedger"
import { EnrollmentTokenRepo } from "@mosaic-federation/issuance/EnrollmentTokenRepo"
import { GrantChanges } from "@mosaic-federation/issuance/GrantChanges"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { TaskRepo } from "@mosaic-federation/issuance/TaskRepo"
import { type Effect, Layer } from "effect"
import { EnrollmentTokens } from "../peer/EnrollmentTokens.ts"
import { TaskQueue } from "../TaskQueue.ts"
import { CertificateOperations } from "./CertificateOperations.ts"
import { GrantOperations } from "./GrantOperations.ts"
import { TokenOperations } from "./TokenOperations.ts"
import type { RedeemedAt } from "./tokensHere.ts"

/** Needs a migrated database. */
export const layerHere = (redeemedAt: Effect.Effect<RedeemedAt, MosaicError>) =>
  Layer.mergeAll(
    GrantOperations.layerHere,
    CertificateOperations.layerHere,
    TokenOperations.layerHere(redeemedAt)
  ).pipe(
    Layer.provide([
      GrantChanges.layerNoDeps,
      CertificateLedger.layerNoDeps,
      TaskQueue.layerNoDeps.pipe(Layer.provideMerge(TaskRepo.layerNoDeps)),
      EnrollmentTokens.layerNoDeps.pipe(Layer.provide(EnrollmentTokenRepo.layerNoDeps))
    ]),
    Layer.provide(GrantRepo.layerNoDeps)
  )

/** Needs a `GatewayClient`. */
export const layerOverApi = Layer.mergeAll(
  GrantOperations.layerOverApi,
  CertificateOperations.layerOverApi,
  TokenOperations.layerOverApi
)
