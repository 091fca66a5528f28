/** Hands on the enrollment token that a peer shows. Whether it is good for anything shows when it is redeemed. */
import { EnrollmentAuth, PresentedToken } from "@mosaic-federation/domain/api/EnrollmentAuth"
import { EnrollmentTokenMalformed } from "@mosaic-federation/domain/EnrollmentErrors"
import { parseEnrollmentToken } from "@mosaic-federation/domain/EnrollmentToken"
import { Effect, Layer, Redacted, Result } from "effect"

const absent = new EnrollmentTokenMalformed({
  problem: "there is no enrollment token in Authorization: Bearer"
})

export const layer = Layer.succeed(
  EnrollmentAuth,
  EnrollmentAuth.of({
    enrollmentToken: (httpEffect, { credential }) => {
      if (Redacted.value(credential) === "") return Effect.fail(absent)
      // A stranger's body is not looked at.
      const read = parseEnrollmentToken(credential)
      return Result.isFailure(read)
        ? Effect.fail(read.failure)
        : Effect.provideService(httpEffect, PresentedToken, credential)
    }
  })
)
