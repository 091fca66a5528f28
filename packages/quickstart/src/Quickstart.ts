/**
 * One issuance from nothing to a decoded certificate, by the real program on real parts. Everything it starts ends with
 * it; what it makes stays, so that the next run is quick and the commands it ends with work.
 */
import { accessSync, constants, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { randomUUID } from "node:crypto"
import { type Grant, NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { IssueCertRequest } from "@mosaic-federation/domain/IssueCertRequest"
import type { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import { UserId } from "@mosaic-federation/domain/UserId"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Issuance } from "@mosaic-federation/issuance/Issuance"
import { parseCertificate, parseCertificates } from "@mosaic-federation/x509/Certificate"
import * as CertificateRequest from "@mosaic-federation/x509/CertificateRequest"
import { evaluate } from "@mosaic-federation/x509/CertificateConformance"
import { grantOids } from "@mosaic-federation/x509/Oid"
import { Clock, ConfigProvider, DateTime, Duration, Effect, Layer } from "effect"
import { startAuthority } from "./Authority.ts"
import { certificateLines, conformanceLines } from "@mosaic-federation/x509/CertificateReport"
import { withSteps } from "./IssuanceSteps.ts"
import { CurrentPage, formatMillis } from "./Page.ts"
import { makeKeyAndCsr } from "./Peer.ts"
import { type QuickstartPaths, quickstartPaths, shown } from "./QuickstartPaths.ts"

const createGrant = Effect.fn("Quickstart.createGrant")(function* () {
  const { done, heading } = yield* CurrentPage
  heading("The grant")
  const since = yield* Clock.currentTimeMillis
  const grants = yield* GrantRepo
  const now = yield* DateTime.now
  const grant = yield* grants.create(
    new NewGrant({
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make("gateway.example"),
      scopes: ["orders:read"],
      expiresAt: DateTime.addDuration(now, Duration.days(30))
    })
  )
  const millis = (yield* Clock.currentTimeMillis) - since
  done(`${grant.id} lets ${grant.peer} act for user ${grant.subjectUserId}`, millis)
  return grant
})

const issue = Effect.fn("Quickstart.issue")(function* (step: string, grant: Grant, paths: QuickstartPaths) {
  const { done, heading } = yield* CurrentPage
  heading("The peer")
  const since = yield* Clock.currentTimeMillis
  const csrPem = yield* makeKeyAndCsr(step, grant.id, paths)
  const millis = (yield* Clock.currentTimeMillis) - since
  done(`made its key ${shown(paths.key)} and CSR ${shown(paths.csr)} with step`, millis)

  heading("The issuance, step by step as in docs/issuance.md")
  const issuance = yield* Issuance
  const request = new IssueCertRequest({ grantId: grant.id, subjectUserId: grant.subjectUserId, csrPem })
  const { result, steps } = yield* withSteps(issuance.issue(request))
  for (const { millis: took, number, text } of steps) done(`${number} ${text}`, took)
  writeFileSync(paths.certificate, result.fullChainPem, { mode: 0o644 })
  // By the record: times are whole seconds in a certificate, and a moment sooner may be another one.
  const grants = yield* GrantRepo
  const [record] = yield* grants.certificates({ serial: result.serial })
  if (record === undefined) return yield* Effect.die(new Error(`${result.serial} is not on record`))
  return { issued: result, csrPem, requestedAt: DateTime.toDateUtc(record.requestedAt) }
})

interface Issued {
  readonly issued: IssuedCert
  readonly csrPem: string
  readonly requestedAt: Date
}

const minute = 60_000

const show = Effect.fn("Quickstart.show")(function* (
  grant: Grant,
  { csrPem, issued, requestedAt }: Issued,
  rootPem: string
) {
  const { heading, line } = yield* CurrentPage
  const now = DateTime.toDateUtc(yield* DateTime.now)
  const leaf = yield* Effect.fromResult(parseCertificate(issued.certificate)).pipe(Effect.orDie)
  const chain = yield* Effect.fromResult(parseCertificates(issued.chain.join(""))).pipe(Effect.orDie)
  const root = yield* Effect.fromResult(parseCertificate(rootPem)).pipe(Effect.orDie)
  const csr = yield* Effect.fromResult(CertificateRequest.parse(csrPem)).pipe(Effect.orDie)
  const oids = yield* Effect.fromResult(grantOids()).pipe(Effect.orDie)
  heading("The certificate")
  for (const text of certificateLines(leaf, chain, root, oids, now)) line(text)
  const asked = {
    grantId: grant.id,
    subjectUserId: grant.subjectUserId,
    csrSpki: csr.publicKeySpki,
    serial: issued.serial,
    notAfter: DateTime.toDateUtc(issued.notAfter),
    maxLifetimeMillis: 24 * 60 * minute,
    requestedAt,
    backdateMillis: minute,
    skewMillis: minute,
    grantExpiresAt: DateTime.toDateUtc(grant.expiresAt)
  }
  const evaluations = evaluate({ leaf, chain }, asked, { roots: [root], oids, now })
  heading("Checked once more, field by field, against what was asked")
  for (const text of conformanceLines(evaluations)) line(text)
})

const isOnPath = (name: string) =>
  (process.env["PATH"] ?? "").split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

const showNext = Effect.fn("Quickstart.showNext")(function* (
  grant: Grant,
  rootPath: string,
  paths: QuickstartPaths
) {
  const { heading, line } = yield* CurrentPage
  const mosaic = "node_modules/.bin/mosaic"
  const certificate = shown(paths.certificate)
  const root = shown(rootPath)
  heading("Try next")
  line(`  . ${shown(paths.env)}`)
  line(`  ${mosaic} federation cert inspect ${certificate}`)
  line(`  ${mosaic} federation cert verify ${certificate} --root ${root}`)
  line(`  ${mosaic} federation grant show ${grant.id}`)
  if (isOnPath("openssl")) {
    line(`  openssl x509 -in ${certificate} -noout -text`)
    line(`  openssl verify -CAfile ${root} -untrusted ${certificate} ${certificate}`)
  }
  line("\n  Issue one yourself: keep the CA running in one terminal,")
  line("    npm run ca")
  line("  and here:")
  line(
    `    ${mosaic} federation cert issue --grant ${grant.id} --key-out ${join(shown(paths.directory), "mine.key")} --cert-out ${join(shown(paths.directory), "mine.crt")}`
  )
})

/** `directory` is made where it is missing, and kept. */
export const quickstart = Effect.fn("Quickstart")(function* (directory: string) {
  const { done, heading, line } = yield* CurrentPage
  const since = yield* Clock.currentTimeMillis
  const paths = quickstartPaths(directory)
  line("Mosaic Federation: a real step-ca issues a real grant certificate.")
  heading("The parts")
  const { ca, environment, step } = yield* startAuthority(paths)

  const partsSince = yield* Clock.currentTimeMillis
  const services = yield* Layer.build(
    Layer.mergeAll(Issuance.layer, GrantRepo.layer).pipe(
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: environment })))
    )
  )
  const millis = (yield* Clock.currentTimeMillis) - partsSince
  done(`PostgreSQL 17 runs, embedded, with its data in ${shown(paths.home)}`, millis)

  yield* Effect.gen(function* () {
    const grant = yield* createGrant()
    const issued = yield* issue(step, grant, paths)
    yield* show(grant, issued, ca.rootPem)
    yield* showNext(grant, ca.rootPath, paths)
  }).pipe(Effect.provide(services))
  line(
    `\nDone in ${formatMillis((yield* Clock.currentTimeMillis) - since)}; everything that was started stops now.`
  )
}, Effect.scoped)
