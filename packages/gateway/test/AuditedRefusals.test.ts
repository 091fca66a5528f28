/** Refusals on the audit record stay few, however many there are, and none of them is untold. */
import { assert, describe, layer } from "@effect/vitest"
import { AuditRepo } from "@mosaic-federation/issuance/AuditRepo"
import { PeerCertificateMissing } from "@mosaic-federation/domain/PeerErrors"
import { StorageUnavailable } from "@mosaic-federation/domain/StorageErrors"
import { Effect, Layer } from "effect"
import { RateLimits } from "../src/RateLimits.ts"
import { AuditedRefusals } from "../src/server/AuditedRefusals.ts"
import { CurrentRecord } from "../src/server/RequestRecord.ts"
import { layerGateway } from "./support/gatewayOver.ts"
import { shiftedBy } from "./support/shiftedClock.ts"

const TestLayer = AuditedRefusals.layerNoDeps.pipe(
  Layer.provide(RateLimits.layerLocal),
  Layer.provideMerge(layerGateway())
)

const record = { requestId: "req-1", from: "198.51.100.7", route: null, errorCode: null }

const note = (error: unknown, whose: string | null = null) =>
  AuditedRefusals.use(({ note }) =>
    note({ error, whose, event: Effect.succeed({ action: "certificate.renew" as const }) })
  ).pipe(Effect.provideService(CurrentRecord, { ...record, requester: null }))

/** Who was refused, and what it says beside. */
const recorded = Effect.gen(function* () {
  const audit = yield* AuditRepo
  yield* audit.seal
  return (yield* audit.entries({ limit: 1000 })).map(({ detail, requester }) => [requester, detail])
})

describe("AuditedRefusals", () => {
  layer(TestLayer, { timeout: "120 seconds", excludeTestServices: true })((it) => {
    it.effect("are sixty at once and one a minute, which tells how many more there were", () =>
      Effect.gen(function* () {
        yield* note(new StorageUnavailable({ operation: "find a grant", reason: "away" }))
        assert.deepStrictEqual(yield* recorded, [])
        const refused = note(new PeerCertificateMissing())
        yield* Effect.repeat(refused, { times: 99 })
        const first = yield* recorded
        // A machine that is slow gives the bound some of its minutes.
        assert.isTrue(first.length >= 60 && first.length < 65, String(first.length))
        assert.deepStrictEqual(first[0], ["nobody", "from 198.51.100.7"])
        yield* shiftedBy(61_000)(refused)
        const omitted = 100 - first.length
        assert.deepStrictEqual((yield* recorded).slice(first.length), [
          ["nobody", `from 198.51.100.7; ${omitted} before it not recorded`]
        ])
        // Whoever has proved something is counted by themselves.
        yield* note(new PeerCertificateMissing(), "certificate:1")
        assert.deepStrictEqual((yield* recorded).at(-1), ["certificate:1", "from 198.51.100.7"])
      })
    )
  })
})
