/** A gateway whose operator makes tokens, and peers that have nothing but what an operator sends them. */
import { X509Certificate } from "node:crypto"
import { readFileSync, readlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { PeerName } from "@mosaic-federation/domain/Grant"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { UserId } from "@mosaic-federation/domain/UserId"
import { StepCaProcess, type StepCaShape } from "@mosaic-federation/testing/StepCaProcess"
import { DateTime, Duration, Effect } from "effect"
import { clientOf, makeKey, startGateway } from "./gatewayProcess.ts"
import { type Extra, station, user } from "./mosaic.ts"
import { tlsProxy } from "./tlsProxy.ts"

/** A gateway with a home of its own at this CA, and its operator. */
export const grantorAt = Effect.fnUntraced(function* (
  ca: StepCaShape,
  extra: Extra = {},
  ...args: ReadonlyArray<string>
) {
  const where = yield* station(ca.environment)
  const { key } = yield* makeKey(where, "admin")
  const gateway = yield* startGateway(where, extra, ...args)
  const operatorAt = (url: string) => clientOf(url, { rootPath: ca.rootPath, bearer: key })
  const operator = yield* operatorAt(gateway.url)
  const newGrant = Effect.fnUntraced(function* (lifetime: Duration.Duration = Duration.days(1)) {
    const expiresAt = DateTime.addDuration(yield* DateTime.now, lifetime)
    const { id } = yield* operator.grants.create({
      payload: {
        subjectUserId: UserId.make(user),
        peer: PeerName.make("orders.example"),
        scopes: ["orders:read"],
        expiresAt
      }
    })
    return id
  })
  /** As the operator sends it to the peer. */
  const newToken = (id: GrantId, lifetime?: Duration.Duration) =>
    Effect.map(
      operator.enrollmentTokens.create({
        params: { id },
        payload: lifetime === undefined ? {} : { lifetime }
      }),
      ({ token }) => token
    )
  return { ca, where, gateway, operator, operatorAt, newGrant, newToken }
})

export const grantor = (extra: Extra = {}, ...args: ReadonlyArray<string>) =>
  StepCaProcess.use((ca) => grantorAt(ca, extra, ...args))

/** A gateway that peers reach through a proxy; they know both by one bundle of roots. */
export const grantorBehindProxy = Effect.fnUntraced(function* (extra: Extra = {}) {
  const ca = yield* StepCaProcess
  const proxy = yield* tlsProxy
  const { directory } = yield* station()
  const bundle = join(directory, "roots.pem")
  writeFileSync(bundle, `${ca.rootPem.trimEnd()}\n${proxy.rootPem.trimEnd()}\n`)
  const made = yield* grantor({
    STEP_CA_ROOT_CERT_PATH: bundle,
    MOSAIC_PUBLIC_URL: proxy.url,
    MOSAIC_TRUSTED_PROXIES: "127.0.0.1",
    ...extra
  })
  proxy.lead(made.gateway.url.replace("127.0.0.1", "localhost"), ca.rootPem)
  return { ...made, proxy }
})

/** Elsewhere: it has no setting of the gateway's. `file` has the token in it. */
export const newcomer = Effect.fnUntraced(function* (token: string) {
  const where = yield* station()
  const file = join(where.directory, "token")
  writeFileSync(file, `${token}\n`, { mode: 0o600 })
  return { where, file, dir: join(where.directory, "peer") }
})

/** What lies in a peer's directory; fails where key and certificate do not belong together. */
export const heldIn = (dir: string) => {
  const current = readlinkSync(join(dir, "current"))
  const version = join(dir, current)
  const certificate = new X509Certificate(readFileSync(join(version, "peer.crt")))
  const key = readFileSync(join(version, "peer.key"), "utf8")
  return {
    serial: BigInt(`0x${certificate.serialNumber}`).toString(),
    notAfter: certificate.validToDate,
    certificate,
    cert: readFileSync(join(version, "peer.crt"), "utf8"),
    key
  }
}
