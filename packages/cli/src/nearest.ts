/** What was probably meant, where up to a third of it may be mistyped. */
import { closest, distance } from "fastest-levenshtein"

export const nearest = (given: string, candidates: ReadonlyArray<string>): string | undefined => {
  const best = closest(given, candidates)
  return distance(given, best) <= Math.ceil(best.length / 3) ? best : undefined
}
