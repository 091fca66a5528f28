import { Duration } from "effect"

const first = 1000
const longest = 300_000

/**
 * How long a task waits after its n-th failure: 1 s, 2 s, 4 s and so on up to 5 min, each shortened at random by up to a
 * fifth, so that tasks that failed together do not come back together.
 */
export const backoff = (attempts: number, random: number): Duration.Duration =>
  Duration.millis(Math.round(Math.min(first * 2 ** Math.max(attempts - 1, 0), longest) * (1 - random / 5)))
