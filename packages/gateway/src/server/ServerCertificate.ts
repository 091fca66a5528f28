/**
 * The gateway's own TLS certificate, from the same step-ca as the grants' but by another provisioner, whose template
 * signs server names and nothing else. It lives in memory, and is renewed in place at two thirds of its life.
 */
import { generateKeyPair, randomBytes, X509Certificate } from "node:crypto"
import { isIP } from "node:net"
import { promisify } from "node:util"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { ConfigInvalid } from "@mosaic-federation/domain/ConfigurationErrors"
import { formatLifetime, parseLifetime } from "@mosaic-federation/domain/Lifetime"
import { ServerCertificateRefused } from "@mosaic-federation/domain/ServerErrors"
import type { TransportError } from "@mosaic-federation/domain/TransportErrors"
import { IssuanceConfig } from "@mosaic-federation/issuance/IssuanceConfig"
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import { type ProvisionerKeyError, readProvisionerKey } from "@mosaic-federation/issuance/ProvisionerKey"
import { optionalSetting, requiredSetting } from "@mosaic-federation/issuance/Setting"
import { parseCertificates } from "@mosaic-federation/x509/Certificate"
import { checkPath } from "@mosaic-federation/x509/CertificationPath"
import { Context, DateTime, Duration, Effect, Layer, Option, Redacted, Result, Schema } from "effect"
import { SignJWT } from "jose"
import { emptyCsr } from "../emptyCsr.ts"
import type { TlsMaterial } from "./Listener.ts"
import { ServerConfig } from "./ServerConfig.ts"

export type ServerCertificateError = ServerCertificateRefused | TransportError | ProvisionerKeyError

export interface Issued {
  readonly tls: TlsMaterial
  readonly serial: string
  readonly notAfter: DateTime.Utc
}

const generate = promisify(generateKeyPair)

const required = {
  MOSAIC_GATEWAY_PROVISIONER_KEY_JSON:
    "the private JWK or JWE of the provisioner that signs the gateway's own certificate (gateway_provisioner_key.jwe of the CA), or MOSAIC_PLAIN_HTTP=true on loopback",
  MOSAIC_GATEWAY_PROVISIONER_PASSWORD: "the password of that key (any text when the key is a plain JWK)"
} as const

const requiredText = (variable: keyof typeof required) => requiredSetting(variable, required[variable])

const readLifetime = Effect.gen(function* () {
  const variable = "MOSAIC_GATEWAY_CERT_LIFETIME"
  const text = Option.getOrElse(yield* optionalSetting(variable), () => "24h")
  return yield* Option.match(parseLifetime(text), {
    onSome: Effect.succeed,
    onNone: () =>
      Effect.fail(
        new ConfigInvalid({
          variable,
          problem: `${JSON.stringify(text)} is not a duration`,
          expects: "a duration that the CA allows mosaic-gateway, such as 24h"
        })
      )
  })
})

const SignAnswer = Schema.Struct({ certChain: Schema.Array(Schema.String).check(Schema.isMinLength(2)) })
const decodeAnswer = Schema.decodeUnknownOption(SignAnswer)

const Refusal = Schema.Struct({ message: Schema.String })
const decodeRefusal = Schema.decodeUnknownOption(Refusal)

/** As step-ca's own: a certificate that just begins is good for clients whose clocks lag. */
const backdate = Duration.minutes(1)

const tokenLifetime = 60

export class ServerCertificate extends Context.Service<
  ServerCertificate,
  {
    /** A new key and a new certificate. */
    readonly issue: Effect.Effect<Issued, ServerCertificateError>
  }
>()("@mosaic-federation/gateway/ServerCertificate") {
  static readonly layerNoDeps = Layer.effect(
    ServerCertificate,
    Effect.gen(function* () {
      const { names } = yield* ServerConfig
      const { caUrl, roots } = yield* IssuanceConfig
      const http = yield* PinnedHttpClient
      const provisioner = Option.getOrElse(
        yield* optionalSetting("MOSAIC_GATEWAY_PROVISIONER"),
        () => "mosaic-gateway"
      )
      const lifetime = yield* readLifetime
      const key = yield* readProvisionerKey({
        text: Redacted.make(yield* requiredText("MOSAIC_GATEWAY_PROVISIONER_KEY_JSON")),
        password: Redacted.make(yield* requiredText("MOSAIC_GATEWAY_PROVISIONER_PASSWORD")),
        kid: Option.none(),
        allowSymmetric: false
      })
      const [subject = "localhost"] = names
      const rootsPem = roots.map(({ pem }) => pem)

      const refused = (problem: string, requestId: string) =>
        new ServerCertificateRefused({ problem, provisioner, names: names.join(","), requestId })

      const tokenAt = (now: DateTime.Utc) => {
        const issuedAt = Math.floor(DateTime.toEpochMillis(now) / 1000)
        return Effect.promise(() =>
          new SignJWT({
            sub: subject,
            sans: names,
            iss: provisioner,
            aud: new URL("/1.0/sign", caUrl).href,
            jti: randomBytes(32).toString("base64url"),
            iat: issuedAt,
            nbf: issuedAt,
            exp: issuedAt + tokenLifetime
          })
            .setProtectedHeader({ alg: key.algorithm, kid: key.kid, typ: "JWT" })
            .sign(Redacted.value(key.privateKey))
        )
      }

      /** Nobody is to find out by a failed handshake that the certificate is not what was asked for. */
      const faultOf = (
        chain: ReadonlyArray<string>,
        privateKey: Parameters<X509Certificate["checkPrivateKey"]>[0],
        now: DateTime.Utc
      ) => {
        const [leafPem = ""] = chain
        const leaf = new X509Certificate(leafPem)
        if (!leaf.checkPrivateKey(privateKey)) return "the certificate is of another key"
        const unnamed = names.find((name) =>
          isIP(name) === 0 ? leaf.checkHost(name) === undefined : leaf.checkIP(name) === undefined
        )
        if (unnamed !== undefined) return `the certificate does not name ${unnamed}`
        const path = Result.flatMap(
          Result.mapError(parseCertificates(chain.join("")), ({ message }) => message),
          ([first, ...above]) =>
            first === undefined
              ? Result.fail("there is no certificate")
              : Result.mapError(
                  checkPath(first, above, roots, DateTime.toDateUtc(now)),
                  ({ expected, found }) => `expected ${expected}, found ${found}`
                )
        )
        return Result.isFailure(path) ? path.failure : undefined
      }

      const issue = Effect.gen(function* () {
        const now = yield* DateTime.now
        const pair = yield* Effect.promise(() => generate("ec", { namedCurve: "P-256" }))
        const response = yield* http.request({
          method: "POST",
          path: "/1.0/sign",
          body: {
            csr: emptyCsr(pair),
            ott: yield* tokenAt(now),
            notBefore: DateTime.formatIso(DateTime.subtractDuration(now, backdate)),
            notAfter: DateTime.formatIso(DateTime.addDuration(now, lifetime))
          }
        })
        const requestId = response.headers["x-request-id"] ?? "absent"
        if (response.status !== 201 && response.status !== 200) {
          const said = Option.match(decodeRefusal(response.body), {
            onNone: () => "",
            onSome: ({ message }) => `: ${message}`
          })
          return yield* refused(`the CA answered ${response.status}${said}`, requestId)
        }
        const answer = decodeAnswer(response.body)
        if (Option.isNone(answer)) {
          return yield* refused("the CA's answer has no certificate with its chain", requestId)
        }
        const { certChain } = answer.value
        const fault = yield* Effect.try({
          try: () => faultOf(certChain, pair.privateKey, now),
          catch: () => refused("the CA's certificate cannot be read", requestId)
        })
        if (fault !== undefined) return yield* refused(fault, requestId)
        const leaf = new X509Certificate(certChain[0] ?? "")
        return {
          tls: {
            key: pair.privateKey.export({ format: "pem", type: "pkcs8" }) as string,
            cert: certChain.map((pem) => `${pem.trimEnd()}\n`).join(""),
            ca: rootsPem
          },
          serial: BigInt(`0x${leaf.serialNumber}`).toString(),
          notAfter: DateTime.fromDateUnsafe(leaf.validToDate)
        } satisfies Issued
      }).pipe(Effect.withSpan("ServerCertificate.issue"))

      yield* Effect.logDebug("the gateway's certificate", { names, lifetime: formatLifetime(lifetime) })
      return ServerCertificate.of({ issue })
    })
  ).pipe(Layer.provide(NodeFileSystem.layer))
}

const twoThirds = 2 / 3
/** A CA that is away is asked again this often, so that it is asked many times before the certificate ends. */
const shortestPause = Duration.seconds(1)
const longestPause = Duration.minutes(5)

/** Has `renew` called with a new certificate at two thirds of each one's life, for as long as its fiber runs. */
export const keepRenewed = Effect.fnUntraced(function* (
  issue: Effect.Effect<Issued, ServerCertificateError>,
  first: Issued,
  renew: (tls: TlsMaterial) => Effect.Effect<void>
) {
  let current = first
  while (true) {
    const left = DateTime.distance(yield* DateTime.now, current.notAfter)
    yield* Effect.sleep(Duration.max(Duration.times(left, twoThirds), shortestPause))
    const renewed = yield* Effect.result(issue)
    if (Result.isFailure(renewed)) {
      const { code, message } = renewed.failure
      const remaining = DateTime.distance(yield* DateTime.now, current.notAfter)
      yield* Effect.logError("the gateway's certificate is not renewed", {
        code,
        why: message,
        notAfter: DateTime.formatIso(current.notAfter)
      })
      yield* Effect.sleep(
        Duration.clamp(Duration.times(remaining, 0.1), { minimum: shortestPause, maximum: longestPause })
      )
      continue
    }
    current = renewed.success
    yield* renew(current.tls)
    yield* Effect.logInfo("the gateway's certificate is renewed", {
      serial: current.serial,
      notAfter: DateTime.formatIso(current.notAfter)
    })
  }
})
