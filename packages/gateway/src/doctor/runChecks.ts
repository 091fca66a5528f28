/**
 * Runs checks side by side, each as soon as what it needs has passed, and each within its time. It ends in time whatever
 * a check does: one that does not let itself be interrupted is left behind. What they look at is theirs.
 */
import type { CheckResult } from "@mosaic-federation/domain/DoctorReport"
import { Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, Option } from "effect"
import { Blocked, type Check, type CheckId, failed, NotPassed, type Passed, remedy } from "./Check.ts"
import { Subject } from "./Subject.ts"

export interface Budget {
  /** For all of them together. */
  readonly whole: Duration.Duration
  /** For each. */
  readonly each: Duration.Duration
}

const millisBetween = (from: bigint, to: bigint): number => Math.round(Number(to - from) / 1e6)

/** By a clock that nobody sets. */
const monotonic = Clock.monotonicTimeNanos

const within = Effect.fnUntraced(function* (
  run: Effect.Effect<Passed, NotPassed | Blocked, Subject>,
  patience: Duration.Duration
) {
  const fiber = yield* Effect.forkDetach(run)
  const exit = yield* Fiber.await(fiber).pipe(
    Effect.timeoutOption(patience),
    Effect.onInterrupt(() => Fiber.interrupt(fiber))
  )
  if (Option.isNone(exit)) yield* Effect.forkDetach(Fiber.interrupt(fiber))
  return exit
})

const brokeOff = (cause: Cause.Cause<NotPassed | Blocked>): NotPassed | Blocked => {
  const squashed = Cause.squash(cause)
  return squashed instanceof NotPassed || squashed instanceof Blocked
    ? squashed
    : failed({
        code: "INTERNAL_ERROR",
        problem: `the check itself broke: ${squashed instanceof Error ? squashed.message.split("\n", 1)[0] : "a defect"}`,
        remedy: remedy(
          "run it once more with its traces and report the defect",
          "MOSAIC_LOG_LEVEL=debug mosaic gateway doctor"
        )
      })
}

/** Their results, in the order of the checks. */
export const runChecks = Effect.fn("Doctor.runChecks")(function* (
  checks: ReadonlyArray<Check>,
  { each, whole }: Budget
) {
  const subject = yield* Subject
  const start = yield* monotonic
  const results = new Map(checks.map(({ id }) => [id, Deferred.makeUnsafe<CheckResult>()] as const))

  const resultsOf = (ids: ReadonlyArray<CheckId>) =>
    Effect.forEach(
      ids.flatMap((id) => results.get(id) ?? []),
      (result) => Deferred.await(result)
    )

  const hasFailed = ({ status }: CheckResult) => status === "failed" || status === "skipped"

  const passes = (id: CheckId) =>
    Effect.map(resultsOf([id]), (found) => found.some((result) => !hasFailed(result)))

  const skipped = ({ detail, id, name }: Check, needs: string): CheckResult => ({
    id,
    name,
    detail: detail?.(subject) ?? null,
    status: "skipped",
    latencyMillis: null,
    evidence: {},
    finding: null,
    needs
  })

  const attempt = Effect.fnUntraced(function* (check: Check) {
    const begun = yield* monotonic
    const left = Duration.millis(Math.max(Duration.toMillis(whole) - millisBetween(start, begun), 0))
    const patience = check.isOwnWork?.(subject) === true ? left : Duration.min(each, left)
    const exit = yield* within(check.run({ patience, passes }), patience)
    const base = {
      id: check.id,
      name: check.name,
      detail: check.detail?.(subject) ?? null,
      latencyMillis: millisBetween(begun, yield* monotonic),
      finding: null,
      needs: null
    }
    if (Option.isSome(exit) && Exit.isSuccess(exit.value)) {
      const { detail, evidence } = exit.value.value
      return { ...base, detail: detail ?? base.detail, status: "ok", evidence } satisfies CheckResult
    }
    const ended = Option.match(exit, {
      onNone: () =>
        failed({
          code: "CHECK_TIMED_OUT",
          problem: `no answer within ${Math.round(Duration.toMillis(patience))} ms`,
          remedy: check.ifSilent(subject)
        }),
      onSome: (one) => brokeOff(Exit.isFailure(one) ? one.cause : Cause.empty)
    })
    if (ended instanceof Blocked) return skipped(check, ended.needs)
    const { detail, evidence, finding, severity } = ended
    return {
      ...base,
      detail: detail ?? base.detail,
      status: severity,
      evidence,
      finding
    } satisfies CheckResult
  })

  const one = Effect.fnUntraced(function* (check: Check) {
    const needed = yield* resultsOf(check.needs)
    const alternatives = yield* resultsOf(check.needsAny ?? [])
    const missing = needed.find(hasFailed) ?? (alternatives.every(hasFailed) ? alternatives[0] : undefined)
    // What failed itself, and not what was skipped for it in between.
    return missing === undefined ? yield* attempt(check) : skipped(check, missing.needs ?? missing.id)
  })

  return yield* Effect.forEach(
    checks,
    (check) =>
      Effect.tap(one(check), (result) => {
        const settled = results.get(check.id)
        return settled === undefined ? Effect.void : Deferred.succeed(settled, result)
      }),
    { concurrency: "unbounded" }
  )
})
