/** Hands on the enrollment token that a peer shows. Whether it is good for anything shows when it is redeemed. */
import { EnrollmentAuth, PresentedToken } from "@mosaic-federation/domain/api/EnrollmentAuth"
import { EnrollmentTokenMalformed } from "@mosaic-federation/domain/EnrollmentErrors"
import { Effect, Layer, Redacted } from "effect"

export const layer = Layer.succeed(
  EnrollmentAuth,
  EnrollmentAuth.of({
    enrollmentToken: (httpEffect, { credential }) =>
      Redacted.value(credential) === ""
        ? Effect.fail(
            new EnrollmentTokenMalformed({ problem: "there is no enrollment token in Authorization: Bearer" })
          )
        : Effect.provideService(httpEffect, PresentedToken, credential)
  })
)
