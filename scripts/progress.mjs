/** Tells a person what is going on: lines that stay, and one that is rewritten while something is slow. On stderr. */
const { stderr } = process
const logEvery = 10_000

let pending = false
let lastLogged = Date.now()

const clear = () => {
  if (pending) stderr.write("\r\u001B[K")
  pending = false
}

export const say = (line) => {
  clear()
  lastLogged = Date.now()
  stderr.write(`${line}\n`)
}

/** A terminal sees each; a log sees one every ten seconds. */
const update = (line) => {
  if (stderr.isTTY) {
    clear()
    stderr.write(line.slice(0, Math.max(20, (stderr.columns ?? 80) - 1)))
    pending = true
  } else if (Date.now() - lastLogged >= logEvery) {
    say(line)
  }
}

/** Calls `line` every second, with the seconds so far, until the promise is settled. */
export const whileSlow = async (line, promise) => {
  const since = Date.now()
  const timer = setInterval(() => update(line(Math.round((Date.now() - since) / 1000))), 1000)
  try {
    return await promise
  } finally {
    clearInterval(timer)
    clear()
  }
}
