/**
 * Keeps a peer's certificate renewed, from the state in its directory and the clock alone: killed at any point, the next
 * one goes on where it stopped. It ends when no renewal can succeed any more, with the error that says why.
 */
import { dirname } from "node:path"
import { OutputUnwritable } from "@mosaic-federation/domain/CommandErrors"
import type { MosaicError } from "@mosaic-federation/domain/MosaicError"
import { PeerDirectoryUnusable, type RenewalHookFailed } from "@mosaic-federation/domain/PeerSideErrors"
import type { GrantOids } from "@mosaic-federation/x509/Oid"
import { DateTime, Duration, Effect, Fiber, Option, Random, type Redacted, Result, type Scope } from "effect"
import { type AgentMemory, recall, remember } from "./AgentMemory.ts"
import { replaceFile } from "./internal/wholeFile.ts"
import type { KeyType } from "./KeyType.ts"
import type { Held, PeerDirectory } from "./PeerDirectory.ts"
import { makePeerKey } from "./PeerKey.ts"
import { renew } from "./PeerRenewal.ts"
import {
  expiredError,
  grantIsOver,
  metricsText,
  nextTry,
  type PeerStanding,
  statusDocument
} from "./PeerStatus.ts"
import { type Hook, runHook } from "./RenewalHook.ts"
import { askedToWait, isOver, pauseAfter, renewalTime } from "./RenewalTimes.ts"

export interface AgentOptions {
  /** Opened, so that no other agent works on it. */
  readonly directory: PeerDirectory
  readonly oids: GrantOids
  readonly keyType: KeyType
  readonly hook: Option.Option<Hook>
  /** Where the metrics go; by default beside the certificate. */
  readonly metricsPath: Option.Option<string>
}

const statusName = "status.json"
const metricsName = "metrics.prom"

/** For a collector that runs as another user. */
const metricsMode = 0o644

/** A clock that was set, and a machine that slept, are noticed after this time at most. */
const longestSleep = Duration.seconds(30)

const firstHookPause = Duration.seconds(10)
const longestHookPause = Duration.minutes(10)

const notAfterOf = ({ leaf }: Held) => DateTime.fromDateUnsafe(leaf.notAfter)

const earliest = (one: DateTime.Utc, other: DateTime.Utc) => DateTime.min(one, other)

export const requireHeld = Effect.fnUntraced(function* ({ held, path }: PeerDirectory) {
  const found = yield* held
  if (Option.isSome(found)) return found.value
  return yield* new PeerDirectoryUnusable({
    directory: path,
    problem: "there is no certificate in it",
    advice: `enroll first: mosaic federation enroll --token-file FILE --out ${path}`
  })
})

export interface WithKey {
  readonly held: Held
  readonly privateKeyPem: Redacted.Redacted
}

/** An agent that could renew nothing is not to run. */
export const requireKey = Effect.fnUntraced(function* (directory: PeerDirectory) {
  const held = yield* requireHeld(directory)
  if (Option.isSome(held.privateKeyPem)) {
    return { held, privateKeyPem: held.privateKeyPem.value } satisfies WithKey
  }
  return yield* new PeerDirectoryUnusable({
    directory: directory.path,
    problem: "the key of its certificate is held elsewhere",
    advice: "renew where the key is: POST /v1/renew, docs/api.md"
  })
})

const writeElsewhere = (path: string, text: string) =>
  Effect.try({
    try: () => replaceFile(path, text, metricsMode),
    catch: (error) =>
      new OutputUnwritable({
        path,
        reason: (error as NodeJS.ErrnoException).code ?? "it cannot be written",
        recovery: `see that this user may write there: ls -ld ${dirname(path)}`
      })
  })

const endWords = (error: MosaicError, standing: PeerStanding) => {
  if (grantIsOver(standing)) return "THE GRANT IS OVER: this certificate will not be renewed any more"
  return error._tag === "PeerCertificateRevoked"
    ? "THE CERTIFICATE IS REVOKED: it will not be renewed any more"
    : "THE CERTIFICATE HAS EXPIRED: it cannot be renewed, enroll again"
}

/** An end is said as what it is; of all else the certificate's end is what counts. */
const logFailure = (error: MosaicError, standing: PeerStanding) => {
  const { held, memory } = standing
  const { code, message, remediation } = error
  const facts = {
    code,
    why: message,
    do: remediation,
    grant: held.grantId,
    serial: held.leaf.serial,
    notAfter: held.leaf.notAfter.toISOString()
  }
  return isOver(error)
    ? Effect.logError(endWords(error, standing), facts)
    : Effect.logError("the certificate is not renewed", {
        ...facts,
        failures: memory.failures,
        nextTryAt: memory.nextTryAt === null ? null : DateTime.formatIso(memory.nextTryAt)
      })
}

interface HookRun {
  /** Of the certificate that it is told of. */
  readonly serial: string
  readonly since: DateTime.Utc
  readonly told: Fiber.Fiber<{ readonly at: DateTime.Utc; readonly error: RenewalHookFailed | null }>
}

const makeAgent = ({ directory, hook, keyType, metricsPath, oids }: AgentOptions) => {
  let running: HookRun | null = null

  const renewOnce = Effect.fnUntraced(function* ({ held, privateKeyPem }: WithKey) {
    const next = yield* directory.pending(makePeerKey(keyType))
    const received = yield* renew({ held, privateKeyPem, csrPem: next.csrPem, oids })
    yield* directory.install(received, "renewal", Option.some(next.privateKeyPem))
    yield* Effect.logInfo("the certificate is renewed", {
      grant: held.grantId,
      serial: received.leaf.serial,
      notAfter: received.leaf.notAfter.toISOString()
    })
  })

  const afterFailure = Effect.fnUntraced(function* (error: MosaicError, held: Held, memory: AgentMemory) {
    const now = yield* DateTime.now
    const failures = memory.failures + 1
    const left = DateTime.distance(now, notAfterOf(held))
    const pause = pauseAfter(failures, left, yield* Random.next)
    const nextTryAt = askedToWait(error, now) ?? DateTime.addDuration(now, pause)
    return { ...memory, failures, lastTryAt: now, nextTryAt, error } satisfies AgentMemory
  })

  const hookDueAt = (held: Held, { hook: told }: AgentMemory): Option.Option<DateTime.Utc> => {
    if (Option.isNone(hook) || running !== null || held.by !== "renewal") return Option.none()
    if (told?.serial !== held.leaf.serial) return Option.some(held.receivedAt)
    if (told.error === null) return Option.none()
    const pause = Duration.min(
      Duration.times(firstHookPause, 2 ** Math.min(told.failures - 1, 10)),
      longestHookPause
    )
    return Option.some(DateTime.addDuration(told.at, pause))
  }

  const tellHook = Effect.fnUntraced(function* (command: Hook, held: Held) {
    const result = yield* Effect.result(runHook(command, directory.path, held))
    const error = Result.isFailure(result) ? result.failure : null
    if (error !== null) yield* Effect.logError("the hook failed", { code: error.code, why: error.message })
    return { at: yield* DateTime.now, error }
  })

  /** It runs beside whatever else is to be done, as long as the scope. */
  const beginHook = Effect.fnUntraced(function* (held: Held) {
    if (Option.isNone(hook)) return
    const told = yield* Effect.forkScoped(tellHook(hook.value, held))
    running = { serial: held.leaf.serial, since: yield* DateTime.now, told }
  })

  const hookEnded = Effect.suspend(() => (running === null ? Effect.never : Fiber.await(running.told)))

  const noteHook = Effect.fnUntraced(function* (memory: AgentMemory) {
    const ended = running?.told.pollUnsafe()
    if (running === null || ended === undefined) return memory
    const { serial } = running
    running = null
    const { at, error } = yield* ended
    const failures = error === null ? 0 : (memory.hook?.failures ?? 0) + 1
    return { ...memory, hook: { serial, at, error, failures } } satisfies AgentMemory
  })

  /** A full disk is no reason to stop renewing: that is tried on, and says so itself. */
  const report = (standing: PeerStanding) =>
    Effect.gen(function* () {
      yield* remember(directory, standing.memory)
      yield* directory.write(statusName, `${JSON.stringify(statusDocument(standing), null, 2)}\n`)
      yield* Option.match(metricsPath, {
        onNone: () => directory.write(metricsName, metricsText(standing)),
        onSome: (path) => writeElsewhere(path, metricsText(standing))
      })
    }).pipe(
      Effect.catch(({ code, message }) =>
        Effect.logError("the status cannot be written", { code, why: message })
      )
    )

  const standingOf = (held: Held, memory: AgentMemory) =>
    Effect.map(DateTime.now, (now): PeerStanding => ({
      held,
      memory: {
        ...memory,
        hookRunning: running === null ? null : { serial: running.serial, since: running.since }
      },
      agent: Option.some({ pid: process.pid }),
      now
    }))

  /**
   * Does what is due now, with the hook no further than begun, and reports. `patient`: a pause of our own after a failure
   * is waited for.
   */
  const look = Effect.fnUntraced(function* (
    patient: boolean
  ): Effect.fn.Return<PeerStanding, MosaicError, Scope.Scope> {
    let { held, privateKeyPem } = yield* requireKey(directory)
    let memory = recall(directory, held)
    const standing = Effect.suspend(() => standingOf(held, memory))
    const now = yield* DateTime.now
    const waits = memory.error !== null && (patient || askedToWait(memory.error, now) !== null)
    const dueAt = waits && memory.nextTryAt !== null ? memory.nextTryAt : renewalTime(held)
    const isDead =
      DateTime.isGreaterThanOrEqualTo(now, notAfterOf(held)) ||
      (memory.error !== null && isOver(memory.error))
    if (!isDead && DateTime.isGreaterThanOrEqualTo(now, dueAt)) {
      const tried = yield* Effect.result(renewOnce({ held, privateKeyPem }))
      if (Result.isFailure(tried)) {
        memory = yield* afterFailure(tried.failure, held, memory)
        yield* logFailure(tried.failure, yield* standing)
      } else {
        ;({ held, privateKeyPem } = yield* requireKey(directory))
        memory = { ...recall(directory, held), lastTryAt: yield* DateTime.now }
        yield* report(yield* standing)
      }
    }
    memory = yield* noteHook(memory)
    const hookAt = hookDueAt(held, memory)
    if (Option.isSome(hookAt) && DateTime.isLessThanOrEqualTo(hookAt.value, yield* DateTime.now)) {
      yield* beginHook(held)
    }
    const at = yield* standing
    yield* report(at)
    return at
  })

  /** Lets a hook that runs do its work, and reports how that went. */
  const settle = Effect.fnUntraced(function* (standing: PeerStanding) {
    if (running === null) return standing
    yield* hookEnded
    const settled = yield* standingOf(standing.held, yield* noteHook(standing.memory))
    yield* report(settled)
    return settled
  })

  const wakeAt = (standing: PeerStanding): DateTime.Utc => {
    const { held, memory } = standing
    const next = earliest(nextTry(standing) ?? notAfterOf(held), notAfterOf(held))
    return Option.match(hookDueAt(held, memory), {
      onNone: () => next,
      onSome: (at) => earliest(at, next)
    })
  }

  /** None while there is something to wait for. */
  const endOf = ({ held, memory, now }: PeerStanding): Option.Option<MosaicError> => {
    if (memory.error !== null && isOver(memory.error)) return Option.some(memory.error)
    return DateTime.isGreaterThanOrEqualTo(now, notAfterOf(held))
      ? Option.some(expiredError(held))
      : Option.none()
  }

  return { look, hookEnded, settle, wakeAt, endOf }
}

/** Does what is due and tells how the peer stands. */
export const lookOnce = (options: AgentOptions): Effect.Effect<PeerStanding, MosaicError> =>
  Effect.suspend(() => {
    const agent = makeAgent(options)
    return Effect.scoped(Effect.flatMap(agent.look(false), agent.settle))
  })

/** Until the grant or the certificate is over: that is the error it ends with. */
export const keepRenewed = Effect.fn("RenewalAgent.keepRenewed")(function* (
  options: AgentOptions
): Effect.fn.Return<never, MosaicError, Scope.Scope> {
  const agent = makeAgent(options)
  let patient = false
  while (true) {
    const standing = yield* agent.look(patient)
    patient = true
    const end = agent.endOf(standing)
    if (Option.isSome(end)) {
      if (end.value._tag === "PeerCertificateExpired" && end.value !== standing.memory.error) {
        yield* logFailure(end.value, standing)
      }
      yield* agent.settle(standing)
      return yield* end.value
    }
    const now = yield* DateTime.now
    const wake = agent.wakeAt(standing)
    const left = DateTime.isLessThan(now, wake) ? DateTime.distance(now, wake) : Duration.zero
    const pause = Duration.clamp(left, { minimum: Duration.millis(100), maximum: longestSleep })
    yield* Effect.raceFirst(Effect.sleep(pause), agent.hookEnded)
  }
}, Effect.scoped)
