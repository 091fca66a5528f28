/** The load generator, the same for every measurement: `connections` at once, each with one request after the other. */

export interface Load {
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly seconds: number
}

const percentile = (sorted: ReadonlyArray<number>, share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0

/** Each job is done once; one that fails ends the measurement, for a rate with failures in it measures nothing. */
export const load = async <Job>(
  jobs: ReadonlyArray<Job>,
  connections: number,
  run: (job: Job) => Promise<unknown>
): Promise<Load> => {
  const millis: Array<number> = []
  let next = 0
  const begin = performance.now()
  const connection = async () => {
    for (let job = jobs[next++]; job !== undefined; job = jobs[next++]) {
      const since = performance.now()
      await run(job)
      millis.push(performance.now() - since)
    }
  }
  await Promise.all(Array.from({ length: connections }, connection))
  const seconds = (performance.now() - begin) / 1000
  const sorted = millis.toSorted((one, other) => one - other)
  return {
    perSecond: jobs.length / seconds,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    seconds
  }
}
