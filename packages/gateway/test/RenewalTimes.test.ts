/** When a peer renews and how it stands, for any clock. */
import { assert, it } from "@effect/vitest"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import { GrantRevoked, GrantSuspended, GrantTooShort } from "@mosaic-federation/domain/GrantErrors"
import { GatewayUnreachable } from "@mosaic-federation/domain/GatewayErrors"
import { RenewalHookFailed } from "@mosaic-federation/domain/PeerSideErrors"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { PeerCertificateRevoked, RenewalTooSoon } from "@mosaic-federation/domain/PeerErrors"
import { makeRoot } from "@mosaic-federation/testing/TestPki"
import { parseCertificate } from "@mosaic-federation/x509/Certificate"
import { DateTime, Duration, Effect, Option, Result } from "effect"
import { describe } from "vitest"
import type { AgentMemory } from "../src/client/AgentMemory.ts"
import type { Held } from "../src/client/PeerDirectory.ts"
import { metricsText, nextTry, stateOf, statusDocument, troubleOf } from "../src/client/PeerStatus.ts"
import type { LockHolder } from "../src/client/ProcessLock.ts"
import { parseHook } from "../src/client/RenewalHook.ts"
import { askedToWait, pauseAfter, renewalTime } from "../src/client/RenewalTimes.ts"

const grantId = "0d6f6c8e-8f0b-4a6e-9d5c-3b2a1f0e9d8c"
const receivedAt = DateTime.makeUnsafe("2026-06-01T00:00:00Z")
const after = (hours: number) => DateTime.add(receivedAt, { minutes: Math.round(hours * 60) })

/** Received at midnight, and good for a day. Any certificate will do: the leaf's times are what is looked at. */
const dayLong = Effect.map(
  makeRoot("a leaf", {
    notBefore: DateTime.toDateUtc(after(-1)),
    notAfter: DateTime.toDateUtc(after(24))
  }),
  ({ pem }): Held => ({
    url: new URL("https://gateway.example:8443"),
    peer: "orders.example",
    grantId,
    subjectUserId: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    receivedAt,
    by: "enrollment",
    leaf: Result.getOrThrow(parseCertificate(pem)),
    chain: [],
    roots: [],
    fullChainPem: pem,
    privateKeyPem: Option.none()
  })
)

const memoryOf = ({ leaf }: Held, error: MosaicError | null = null): AgentMemory => ({
  serial: leaf.serial,
  renewals: 3,
  failures: error === null ? 0 : 2,
  lastTryAt: null,
  nextTryAt: error === null ? null : after(20),
  error,
  hook: null
})

const suspended = new GrantSuspended({ grantId: GrantId.make(grantId) })
const revoked = new GrantRevoked({ grantId: GrantId.make(grantId), revokedAt: after(1), reason: "over" })
const tooShort = new GrantTooShort({
  grantId: GrantId.make(grantId),
  expiresAt: after(21),
  shortest: Duration.minutes(5)
})
const away = new GatewayUnreachable({
  url: "https://gateway.example:8443",
  reason: "ECONNREFUSED",
  asker: "peer"
})

describe("renewal times", () => {
  it.effect(
    "two thirds between receipt and notAfter, 5 % of it sooner or later, the same for one certificate",
    () =>
      Effect.gen(function* () {
        const times = new Set<number>()
        for (let index = 0; index < 40; index += 1) {
          const held = yield* dayLong
          const hours = Duration.toHours(DateTime.distance(receivedAt, renewalTime(held)))
          assert.isAtLeast(hours, 16 - 1.2)
          assert.isAtMost(hours, 16 + 1.2)
          assert.deepStrictEqual(renewalTime(held), renewalTime(held))
          times.add(hours)
        }
        assert.isAbove(times.size, 30)
        assert.isAbove(Math.max(...times) - Math.min(...times), 1)
      })
  )

  it("pauses grow to an hour, and leave room for more tries before the end", () => {
    const seconds = (failures: number, left: Duration.Duration, random: number) =>
      Duration.toSeconds(pauseAfter(failures, left, random))
    assert.deepStrictEqual(
      [1, 2, 3, 4].map((failures) => seconds(failures, Duration.hours(24), 0)),
      [5, 10, 20, 40]
    )
    assert.strictEqual(seconds(30, Duration.days(30), 0), 3600)
    assert.strictEqual(seconds(30, Duration.days(30), 1), 2880)
    assert.strictEqual(seconds(30, Duration.minutes(8), 0), 60)
    assert.strictEqual(seconds(30, Duration.seconds(1), 0), 1)
    assert.strictEqual(seconds(1, Duration.zero, 0), 1)
    let left = Duration.hours(8)
    let tries = 0
    while (Duration.toSeconds(left) > 8) {
      left = Duration.subtract(left, pauseAfter(tries + 1, left, 0))
      tries += 1
    }
    assert.isAbove(tries, 30)
  })

  it.effect("believes a gateway that says when to come again", () =>
    Effect.gen(function* () {
      const { leaf } = yield* dayLong
      const error = new RenewalTooSoon({
        serial: leaf.serial,
        renewedBy: null,
        since: after(0),
        interval: Duration.minutes(1),
        retryAt: after(1)
      })
      assert.deepStrictEqual(askedToWait(error, after(0)), after(1))
      assert.isNull(askedToWait(away, after(0)))
    })
  )
})

describe("how a peer stands", () => {
  it.effect("is told by the clock at the moment of the question", () =>
    Effect.gen(function* () {
      const held = yield* dayLong
      const stands = (hours: number, error: MosaicError | null, agent: LockHolder | null = null) => {
        const standing = {
          held,
          memory: memoryOf(held, error),
          agent: Option.fromNullishOr(agent),
          now: after(hours)
        }
        return [
          stateOf(standing),
          Option.getOrNull(Option.map(troubleOf(standing), ({ code, exitCode }) => `${exitCode} ${code}`))
        ]
      }
      assert.deepStrictEqual(stands(1, null), ["valid", null])
      const due = Duration.toHours(DateTime.distance(after(0), renewalTime(held)))
      assert.deepStrictEqual(stands(due + 0.1, null), ["due", null])
      assert.deepStrictEqual(stands(20, null), ["due", "5 RENEWAL_OVERDUE"])
      assert.deepStrictEqual(stands(20, null, { pid: 4711 }), ["due", null])
      assert.deepStrictEqual(stands(20, away), ["failing", "5 GATEWAY_UNREACHABLE"])
      assert.deepStrictEqual(stands(20, suspended), ["suspended", "3 GRANT_SUSPENDED"])
      assert.deepStrictEqual(stands(20, tooShort), ["ending", "3 GRANT_TOO_SHORT"])
      assert.deepStrictEqual(stands(20, revoked), ["over", "3 GRANT_REVOKED"])
      for (const error of [null, away, suspended]) {
        assert.deepStrictEqual(stands(24, error), ["expired", "3 PEER_CERTIFICATE_EXPIRED"])
      }
      assert.deepStrictEqual(stands(30, revoked), ["over", "3 GRANT_REVOKED"])
    })
  )

  it.effect("a certificate that ends is not yet a grant that is over", () =>
    Effect.gen(function* () {
      const held = yield* dayLong
      const { serial } = held.leaf
      const metrics = (hours: number, error: MosaicError | null) => {
        const memory = memoryOf(held, error)
        const text = metricsText({ held, memory, agent: Option.none(), now: after(hours) })
        return ["grant_over", "certificate_ended"].map((name) =>
          text.includes(`mosaic_peer_${name}{grant="${grantId}"} 1\n`)
        )
      }
      for (const error of [null, away, suspended]) {
        assert.deepStrictEqual(metrics(20, error), [false, false])
        assert.deepStrictEqual(metrics(24, error), [false, true])
      }
      const certificateRevoked = new PeerCertificateRevoked({ serial, revokedAt: after(1) })
      assert.deepStrictEqual(metrics(2, certificateRevoked), [false, true])
      assert.deepStrictEqual(metrics(2, revoked), [true, false])
      assert.deepStrictEqual(metrics(20, tooShort), [false, false])
      assert.deepStrictEqual(metrics(24, tooShort), [true, true])
    })
  )

  it.effect("says what to do about a renewal that nobody does, and about a hook that fails", () =>
    Effect.gen(function* () {
      const held = yield* dayLong
      const agent = Option.none<LockHolder>()
      const overdue = Option.getOrThrow(troubleOf({ held, memory: memoryOf(held), agent, now: after(20) }))
      assert.strictEqual(overdue.code, "RENEWAL_OVERDUE")
      assert.include(overdue.remediation, "start the agent: mosaic federation agent --dir DIR")
      const error = new RenewalHookFailed({ command: "reload", outcome: "exit code 1" })
      const memory = {
        ...memoryOf(held),
        hook: { serial: held.leaf.serial, at: after(1), error, failures: 1 }
      }
      const standing = { held, memory, agent, now: after(2) }
      assert.strictEqual(Option.getOrNull(troubleOf(standing)), error)
      const document = statusDocument(standing)
      assert.strictEqual(document.hook?.error?.message, "reload: exit code 1")
      assert.deepStrictEqual(document.nextTryAt, DateTime.formatIso(renewalTime(held)))
      assert.include(metricsText(standing), `mosaic_peer_hook_failures{grant="${grantId}"} 1\n`)
      assert.isNull(nextTry({ ...standing, now: after(25) }))
    })
  )
})

describe("the hook's command", () => {
  it("is a program and its arguments, and nothing for a shell", () => {
    assert.deepStrictEqual(Result.getOrNull(parseHook("systemctl reload  orders.service")), {
      program: "systemctl",
      args: ["reload", "orders.service"]
    })
    for (const text of [
      "a; b",
      "a && b",
      "a | b",
      "a $HOME",
      "a `b`",
      "a 'b c'",
      'a "b"',
      "a > b",
      "a *",
      "~/a"
    ]) {
      assert.include(Result.isFailure(parseHook(text)) ? "refused" : text, "refused")
    }
    assert.isTrue(Result.isFailure(parseHook("   ")))
  })
})
