/** The gateway as layers: its records, its program, its handlers and its listener. Everything it is made of is elsewhere. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { errorsPath } from "@mosaic-federation/domain/api/Problem"
import { requireProtectedAudit } from "@mosaic-federation/issuance/AppRole"
import * as AuditedIssuance from "@mosaic-federation/issuance/AuditedIssuance"
import { AuditKey } from "@mosaic-federation/issuance/AuditKey"
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { CertificateLedger } from "@mosaic-federation/issuance/CertificateLedger"
import * as CertificateOrigin from "@mosaic-federation/issuance/CertificateOrigin"
import { EnrollmentTokenRepo } from "@mosaic-federation/issuance/EnrollmentTokenRepo"
import { GrantChanges } from "@mosaic-federation/issuance/GrantChanges"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { IdempotencyRepo } from "@mosaic-federation/issuance/IdempotencyRepo"
import { Issuance } from "@mosaic-federation/issuance/Issuance"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import { RenewalRepo } from "@mosaic-federation/issuance/RenewalRepo"
import { StepCa } from "@mosaic-federation/issuance/StepCa"
import { TaskRepo } from "@mosaic-federation/issuance/TaskRepo"
import { TokenDiagnosis } from "@mosaic-federation/issuance/TokenDiagnosis"
import { TokenSigner } from "@mosaic-federation/issuance/TokenSigner"
import { Context, Duration, Effect, Exit, Fiber, Layer, Option, Queue, Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { HttpApiBuilder, HttpApiScalar } from "effect/http-api"
import { GatewayConfig } from "../GatewayConfig.ts"
import * as GatewayDatabase from "../GatewayDatabase.ts"
import { Enrollment } from "../peer/Enrollment.ts"
import { EnrollmentTokens } from "../peer/EnrollmentTokens.ts"
import { PeerIdentity } from "../peer/PeerIdentity.ts"
import { Renewal } from "../peer/Renewal.ts"
import { RenewalProof } from "../peer/RenewalProof.ts"
import { TaskQueue } from "../TaskQueue.ts"
import { TaskRunner } from "../TaskRunner.ts"
import * as TaskWorker from "../TaskWorker.ts"
import * as anyRequest from "./anyRequest.ts"
import { ApiKeys } from "./ApiKeys.ts"
import { AuditedRefusals } from "./AuditedRefusals.ts"
import * as auditHandlers from "./auditHandlers.ts"
import * as AuditSealer from "./AuditSealer.ts"
import * as certificatesHandlers from "./certificatesHandlers.ts"
import { Coordination } from "./Coordination.ts"
import { Drain } from "./Drain.ts"
import * as Edge from "./Edge.ts"
import * as enrollmentAuth from "./enrollmentAuth.ts"
import * as enrollmentHandlers from "./enrollmentHandlers.ts"
import { errorsPage } from "./errorsPage.ts"
import * as grantsHandlers from "./grantsHandlers.ts"
import * as healthHandlers from "./healthHandlers.ts"
import { LedgerGauges } from "./LedgerGauges.ts"
import { Listener } from "./Listener.ts"
import * as MetricsListener from "./MetricsListener.ts"
import { OidcVerifier } from "./OidcVerifier.ts"
import * as operatorAuth from "./operatorAuth.ts"
import * as peerAuth from "./peerAuth.ts"
import { PublicUrl, publicUrlOf } from "./PublicUrl.ts"
import { Readiness } from "./Readiness.ts"
import * as renewalAuth from "./renewalAuth.ts"
import * as renewalHandlers from "./renewalHandlers.ts"
import * as rootsHandlers from "./rootsHandlers.ts"
import { keepRenewed, ServerCertificate } from "./ServerCertificate.ts"
import { ServerConfig } from "./ServerConfig.ts"
import * as Telemetry from "./Telemetry.ts"

const handlers = Layer.mergeAll(
  grantsHandlers.layer,
  certificatesHandlers.layer,
  enrollmentHandlers.layer,
  renewalHandlers.layer,
  rootsHandlers.layer,
  auditHandlers.layer,
  healthHandlers.layer
).pipe(
  Layer.provide([
    anyRequest.layer,
    operatorAuth.layer,
    peerAuth.layer,
    renewalAuth.layer,
    enrollmentAuth.layer
  ])
)

const routes = Layer.mergeAll(
  HttpApiBuilder.layer(GatewayApi, { openapiPath: "/openapi.json" }).pipe(Layer.provide(handlers)),
  HttpApiScalar.layer(GatewayApi, { path: "/docs", scalar: { withDefaultFonts: false } }),
  HttpRouter.add("GET", errorsPath, errorsPage),
  Edge.layer
)

/**
 * Replicas that many people may reach must not be able to change the audit record; on one machine nothing would keep them
 * from it.
 */
const protectedAudit = Effect.gen(function* () {
  const { tier } = yield* GatewayConfig
  if (tier === "federated") yield* requireProtectedAudit()
})

const database = Layer.effectDiscard(protectedAudit).pipe(Layer.provideMerge(GatewayDatabase.layer))

const repositories = Layer.mergeAll(
  CertificateOrigin.layer.pipe(Layer.provide(GrantRepo.layerNoDeps)),
  EnrollmentTokenRepo.layerNoDeps,
  RenewalRepo.layerNoDeps,
  TaskRepo.layerNoDeps,
  IdempotencyRepo.layerNoDeps,
  GrantChanges.layerNoDeps,
  CertificateLedger.layerNoDeps,
  AuditRepo.layerNoDeps,
  AuditKey.layer,
  ApiKeys.layer
).pipe(Layer.provideMerge(database))

const authority = StepCa.layerNoDeps.pipe(
  Layer.provide(TokenDiagnosis.layerNoDeps),
  Layer.provide(TokenSigner.layerNoDeps),
  Layer.provideMerge(PinnedHttpClient.layerNoDeps),
  Layer.provideMerge(IssuanceConfig.layer)
)

const program = Layer.mergeAll(
  EnrollmentTokens.layerNoDeps,
  Enrollment.layerNoDeps,
  Renewal.layerNoDeps,
  RenewalProof.layerNoDeps,
  PeerIdentity.layerNoDeps,
  AuditedRefusals.layerNoDeps,
  TaskQueue.layerNoDeps
).pipe(
  Layer.provideMerge(AuditedIssuance.layer.pipe(Layer.provide(Issuance.layerNoDeps))),
  Layer.provideMerge(authority)
)

/** All that the settings of issuance decide, the CA's roots and keys among them: a reload makes it anew. */
const reloadable = TaskWorker.layer().pipe(Layer.provide(TaskRunner.layerNoDeps), Layer.provideMerge(program))

/** An answer that is under way has ended after this, and what it stands on may go. */
const afterwards = Duration.seconds(20)

/**
 * Listens last: whatever can be wrong with settings, database or CA is known before. SIGHUP brings a second generation of
 * the program up beside the first and lets it take over; one that does not come up changes nothing.
 */
const serving = Layer.effectContext(
  Effect.gen(function* () {
    const settings = yield* ServerConfig
    const scope = yield* Effect.scope

    const start = Effect.gen(function* () {
      const own = yield* Scope.fork(scope)
      return yield* Effect.gen(function* () {
        const services = yield* Layer.build(Layer.fresh(reloadable))
        if (settings.plainHttp) return { own, services, certificate: Option.none() }
        const { issue } = Context.get(
          yield* Effect.provide(Layer.build(ServerCertificate.layerNoDeps), services),
          ServerCertificate
        )
        return { own, services, certificate: Option.some({ issue, first: yield* issue }) }
      }).pipe(
        Scope.provide(own),
        Effect.onError((cause) => Scope.close(own, Exit.failCause(cause)))
      )
    })

    type Generation = Effect.Success<typeof start>

    const routesOf = ({ own, services }: Generation, url: URL) =>
      HttpRouter.toHttpEffect(
        Layer.fresh(routes).pipe(
          Layer.provide([Readiness.layerNoDeps, OidcVerifier.layer]),
          Layer.provide(Layer.succeed(PublicUrl, url)),
          Layer.provide(Layer.succeedContext(services))
        )
      ).pipe(Scope.provide(own))

    const renewing = ({ certificate, own }: Generation, listener: Listener["Service"]) =>
      Effect.forkIn(
        Option.match(certificate, {
          onNone: () => Effect.void,
          onSome: ({ first, issue }) => keepRenewed(issue, first, listener.renew)
        }),
        own
      )

    let generation = yield* start
    const bound = yield* Listener.make(
      settings,
      Option.map(generation.certificate, ({ first }) => first.tls)
    )
    const listener = Context.get(bound, Listener)
    const url = publicUrlOf(settings, listener.port)
    let handler = yield* routesOf(generation, url)
    let renewal: Fiber.Fiber<void> = yield* renewing(generation, listener)
    yield* Context.get(bound, HttpServer.HttpServer).serve(Effect.suspend(() => handler))

    const reload = Effect.gen(function* () {
      const next = yield* start
      const nextHandler = yield* routesOf(next, url).pipe(
        Effect.onError((cause) => Scope.close(next.own, Exit.failCause(cause)))
      )
      const before = generation
      generation = next
      handler = nextHandler
      // By its roots, the one before would ask for certificates that are no longer to be shown.
      yield* Fiber.interrupt(renewal)
      if (Option.isSome(next.certificate)) yield* listener.renew(next.certificate.value.first.tls)
      renewal = yield* renewing(next, listener)
      const pause = Duration.sum(settings.requestTimeout, afterwards)
      yield* Effect.forkIn(Effect.delay(Scope.close(before.own, Exit.void), pause), scope)
      yield* Effect.logInfo("reloaded")
    }).pipe(
      Effect.catch((error) =>
        Effect.logError("not reloaded, the settings before stay", { code: error.code, why: error.message })
      )
    )
    const asked = yield* Queue.sliding<void>(1)
    const ask = () => void Queue.offerUnsafe(asked, undefined)
    yield* Effect.acquireRelease(
      Effect.sync(() => process.on("SIGHUP", ask)),
      () => Effect.sync(() => process.off("SIGHUP", ask))
    )
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Queue.take(asked), reload)))
    return bound
  })
)

/** Above the handlers, so that it comes before their end, which would interrupt them. */
const drained = Layer.effectDiscard(
  Effect.gen(function* () {
    const drain = yield* Drain
    const { stopAccepting } = yield* Listener
    yield* Effect.addFinalizer(() => drain.run(stopAccepting))
  })
)

/** Needs `GatewayConfig` and `ServerConfig`, and serves for as long as its scope. */
export const layer = drained.pipe(
  Layer.provideMerge(serving),
  Layer.provide([MetricsListener.layer, AuditSealer.layer]),
  Layer.provide(LedgerGauges.layerNoDeps),
  Layer.provide(Coordination.layer.pipe(Layer.provideMerge(repositories))),
  Layer.provide(Drain.layer),
  Layer.provide(NodeHttpServer.layerHttpServices),
  Layer.provide(Telemetry.layer)
)
