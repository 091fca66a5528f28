/** Tells a person what is going on while it is slow: lasting lines, and one line that is rewritten where there is a terminal. */
import { Context } from "effect"

export interface Progress {
  /** A line that stays. */
  readonly say: (line: string) => void
  /** How far something is. A terminal sees each; a log sees one every ten seconds. */
  readonly update: (line: string) => void
}

const logEvery = 10_000

/** Writes to stderr, so that stdout stays what a command answers. */
export const stderrProgress = (): Progress => {
  const { stderr } = process
  let pending = false
  let lastLogged = Date.now()
  const clear = () => {
    if (pending) stderr.write("\r\u001b[K")
    pending = false
  }
  return {
    say: (line) => {
      clear()
      stderr.write(`${line}\n`)
    },
    update: (line) => {
      if (stderr.isTTY) {
        clear()
        stderr.write(line.slice(0, Math.max(20, (stderr.columns ?? 80) - 1)))
        pending = true
      } else if (Date.now() - lastLogged >= logEvery) {
        lastLogged = Date.now()
        stderr.write(`${line}\n`)
      }
    }
  }
}

/** Silent unless somebody provides another. */
export const CurrentProgress = Context.Reference<Progress>("@mosaic-federation/testing/Progress", {
  defaultValue: () => ({ say: () => undefined, update: () => undefined })
})
