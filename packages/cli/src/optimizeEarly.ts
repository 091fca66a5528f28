/**
 * What V8 is told before it compiles a server. A certificate goes through a thousand functions of which none is hot by
 * itself: at V8's own pace a gateway still gets faster after 8,000 of them (docs/decisions/0014).
 */
import { setFlagsFromString } from "node:v8"

const flags = [
  // What a function meets is noted from its first call on, and not from its eighth.
  "--no-lazy-feedback-allocation",
  // The optimizing compiler comes after 1,200 calls in place of 3,000, and no other one before it.
  "--invocation-count-for-turbofan=1200",
  "--no-maglev"
]

/** For a process that serves, before its code is loaded. */
export const optimizeEarly = (): void => {
  for (const flag of flags) setFlagsFromString(flag)
}
