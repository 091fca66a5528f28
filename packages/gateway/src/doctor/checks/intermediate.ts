/** The certificates that sign grants lead to a pinned root, and are valid now and for a month to come. */
import { CaUnexpectedStatus } from "@mosaic-federation/domain/CaErrors"
import { CaResponseShape } from "@mosaic-federation/domain/TransportErrors"
import { requestIdOf } from "@mosaic-federation/issuance/CaAnswer"
import { type Certificate, parseCertificates } from "@mosaic-federation/x509/Certificate"
import { checkPath } from "@mosaic-federation/x509/CertificationPath"
import { DateTime, Effect, Option, Result, Schema } from "effect"
import { caFailure } from "../caFailure.ts"
import { type Check, failed, remedy, warning } from "../Check.ts"
import { expiryOf } from "../expiry.ts"
import { Subject } from "../Subject.ts"

const decodeAnswer = Schema.decodeUnknownOption(Schema.Struct({ crts: Schema.Array(Schema.String) }))

const fetchCommand = (origin: string, rootPath: string) =>
  `curl --cacert ${rootPath} ${origin}/1.0/intermediates`

/** A certificate may have been signed by any of them, whichever the others are. */
const faultOf = (certificate: Certificate, roots: ReadonlyArray<Certificate>, now: Date) =>
  Result.match(checkPath(certificate, [], roots, now), {
    onSuccess: () => undefined,
    onFailure: ({ expected, found }) => `expected ${expected}, found ${found}`
  })

export const intermediate: Check = {
  id: "intermediate",
  name: "intermediate certificate",
  needs: ["ca"],
  ifSilent: () =>
    remedy("see whether the CA answers", 'curl --cacert "$STEP_CA_ROOT_CERT_PATH" "$STEP_CA_URL/health"'),
  run: () =>
    Effect.gen(function* () {
      const { caSettings, http, roots } = yield* Subject
      const settings = yield* caSettings
      const { rootPath, url } = settings
      const look = fetchCommand(url.origin, rootPath)
      const [certificates, pinned] = yield* Effect.gen(function* () {
        const client = yield* http
        const response = yield* client.request({ method: "GET", path: "/1.0/intermediates" })
        if (response.status !== 200 && response.status !== 201) {
          return yield* new CaUnexpectedStatus({ requestId: requestIdOf(response), status: response.status })
        }
        const shape = (problem: string) => new CaResponseShape({ origin: url.origin, problem })
        const { crts } = yield* Option.match(decodeAnswer(response.body), {
          onNone: () => Effect.fail(shape("/1.0/intermediates is no list of certificates")),
          onSome: Effect.succeed
        })
        const parsed = yield* Effect.fromResult(
          Result.mapError(parseCertificates(crts.join("\n")), ({ message }) => shape(message))
        )
        return [parsed, yield* roots] as const
      }).pipe(Effect.mapError(caFailure(settings)))
      const first = yield* expiryOf(certificates)
      if (first === undefined) {
        return yield* failed({
          code: "INTERMEDIATE_MISSING",
          problem: "the CA names no intermediate certificate",
          remedy: remedy("see what the CA signs with", look)
        })
      }
      const evidence = {
        intermediates: certificates.length,
        subject: first.subject,
        notAfter: first.notAfter,
        fingerprintSha256: first.certificate.fingerprintSha256
      }
      const renew = `step certificate create "${first.subject.replace(/^.*CN=/, "")}" intermediate_ca.crt intermediate_ca_key --profile intermediate-ca --ca root_ca.crt --ca-key root_ca_key`
      if (first.isOver) {
        return yield* failed({
          code: "INTERMEDIATE_EXPIRED",
          problem: `${first.subject} ended at ${first.notAfter}: whatever it signs is worth nothing`,
          remedy: remedy("sign a new intermediate by the root and give it to the CA", renew),
          evidence
        })
      }
      const now = DateTime.toDateUtc(yield* DateTime.now)
      const fault = certificates.map((one) => faultOf(one, pinned, now)).find((one) => one !== undefined)
      if (fault !== undefined) {
        return yield* failed({
          code: "INTERMEDIATE_UNTRUSTED",
          problem: `an intermediate of the CA does not lead to a pinned root: ${fault}`,
          remedy: remedy(`compare it with ${rootPath}`, look),
          evidence
        })
      }
      if (first.isNear) {
        return yield* warning({
          code: "INTERMEDIATE_EXPIRES",
          problem: `${first.subject} ends at ${first.notAfter}: ${first.left}`,
          remedy: remedy("sign a new intermediate by the root and give it to the CA", renew),
          evidence
        })
      }
      return { detail: first.left, evidence }
    })
}
