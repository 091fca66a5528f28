/**
 * The eight steps of docs/issuance.md with the time that each took, read from the spans that the program itself makes:
 * the quickstart adds nothing to the program that it shows.
 */
import { Effect, Tracer } from "effect"

export interface IssuanceStep {
  readonly number: number
  readonly text: string
  readonly millis: number
}

interface Interval {
  readonly name: string
  readonly start: bigint
  end: bigint
}

const recording = (intervals: Array<Interval>) =>
  Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const interval: Interval = { name: options.name, start: options.startTime, end: options.startTime }
      intervals.push(interval)
      const end = span.end.bind(span)
      span.end = (time, exit) => {
        interval.end = time
        end(time, exit)
      }
      return span
    }
  })

const toMillis = (nanos: bigint) => Number(nanos) / 1e6

const steps = (intervals: ReadonlyArray<Interval>): ReadonlyArray<IssuanceStep> => {
  const last = (name: string) => {
    const found = intervals.findLast((interval) => interval.name === name)
    if (found === undefined) throw new Error(`Issuance.issue made no span ${name}`)
    return found
  }
  const issue = last("Issuance.issue")
  const find = last("GrantRepo.find")
  const intent = last("GrantRepo.recordIntent")
  const token = last("TokenSigner.forSigning")
  const ask = last("Issuance.askCa")
  const compare = last("Issuance.checkConformance")
  const record = last("Issuance.record")
  const rows: ReadonlyArray<readonly [string, bigint]> = [
    ["read the CSR: form, proof of possession, key policy", find.start - issue.start],
    ["found the grant", find.end - find.start],
    ["checked that the grant allows it at this moment", intent.start - find.end],
    ["chose the serial number and recorded the intent", intent.end - intent.start],
    ["signed the one-time token", token.end - token.start],
    ["asked step-ca over the pinned connection", ask.end - ask.start - (token.end - token.start)],
    ["compared what came back with what was asked", compare.end - compare.start],
    ["recorded the certificate, then handed it out", record.end - record.start]
  ]
  return rows.map(([text, nanos], index) => ({ number: index + 1, text, millis: toMillis(nanos) }))
}

/** `issue` with its steps; a failure of `issue` stays what it is. */
export const withSteps = <A, E, R>(
  issue: Effect.Effect<A, E, R>
): Effect.Effect<{ readonly result: A; readonly steps: ReadonlyArray<IssuanceStep> }, E, R> =>
  Effect.suspend(() => {
    const intervals: Array<Interval> = []
    return issue.pipe(
      Effect.withTracer(recording(intervals)),
      Effect.map((result) => ({ result, steps: steps(intervals) }))
    )
  })
