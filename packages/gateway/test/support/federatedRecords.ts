/** Grants and certificates on record, in a database that goes with the test. */
import { randomBytes, randomUUID } from "node:crypto"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NewGrant, PeerName } from "@mosaic-federation/domain/Grant"
import { IssuedCert } from "@mosaic-federation/domain/IssuedCert"
import { UserId } from "@mosaic-federation/domain/UserId"
import * as Database from "@mosaic-federation/issuance/Database"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { randomSerial } from "@mosaic-federation/issuance/randomSerial"
import { TaskRepo } from "@mosaic-federation/issuance/TaskRepo"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { ConfigProvider, Context, DateTime, Effect, Layer, Logger } from "effect"

const hour = 3_600_000
const after = (millis: number) => DateTime.makeUnsafe(Date.now() + millis)

/** What another process needs to open the same database. */
export class Home extends Context.Service<Home, { readonly environment: Readonly<Record<string, string>> }>()(
  "@mosaic-federation/gateway/test/Home"
) {
  static readonly layer = Layer.effect(
    Home,
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-test-"))),
        removeDirectory
      ),
      (home) => Home.of({ environment: { MOSAIC_HOME: home } })
    )
  )
}

const layerEnvironment = Layer.unwrap(
  Home.use(({ environment }) =>
    Effect.succeed(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { ...environment } })))
  )
)

export const layerRecords = Layer.mergeAll(GrantRepo.layerNoDeps, TaskRepo.layerNoDeps).pipe(
  Layer.provideMerge(Database.layer),
  Layer.provide(layerEnvironment),
  Layer.provideMerge(Home.layer),
  // That Valkey is away is what some of these tests are about.
  Layer.provideMerge(Logger.layer([]))
)

export const makeGrant = GrantRepo.use((grants) =>
  grants.create(
    new NewGrant({
      subjectUserId: UserId.make(randomUUID()),
      peer: PeerName.make("peer.example"),
      scopes: [],
      expiresAt: after(hour)
    })
  )
)

/** A grant with as many certificates on record as issued. */
export const grantWith = Effect.fnUntraced(function* (certificates: number) {
  const grants = yield* GrantRepo
  const grant = yield* makeGrant
  const pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
  const serials = yield* Effect.forEach(Array.from({ length: certificates }), () =>
    Effect.gen(function* () {
      const serial = randomSerial()
      yield* grants.recordIntent({
        serial,
        grantId: grant.id,
        subjectUserId: grant.subjectUserId,
        csrSha256: randomBytes(32).toString("hex"),
        jti: randomBytes(32).toString("base64url"),
        requester: "cli",
        requestId: "req-1",
        requestedAt: after(0),
        notAfter: after(hour / 2)
      })
      yield* grants.recordIssued(
        new IssuedCert({
          certificate: pem,
          chain: [pem],
          serial,
          notBefore: after(-60_000),
          notAfter: after(hour / 4)
        }),
        randomBytes(32).toString("hex")
      )
      return serial
    })
  )
  return { grant, serials }
})
