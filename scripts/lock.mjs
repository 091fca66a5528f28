/**
 * One set-up at a time in one checkout. The lock is a directory, which its holder keeps young; it is free again once
 * its holder is gone, however it went.
 */
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { say } from "./progress.mjs"

const heartbeat = 2_000
const abandonedAfter = 30_000

const make = (directory) => {
  try {
    mkdirSync(directory)
    return true
  } catch (error) {
    if (error.code === "EEXIST") return false
    throw error
  }
}

const ageOf = (path) => {
  const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() }
  return Date.now() - mtimeMs
}

const ownerOf = (directory) => {
  try {
    return Number(readFileSync(join(directory, "pid"), "utf8"))
  } catch {
    return undefined
  }
}

const isGone = (pid) => {
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error.code === "ESRCH"
  }
}

const isAbandoned = (directory) => {
  const owner = ownerOf(directory)
  return owner !== undefined && owner > 0 && isGone(owner) ? true : ageOf(directory) > abandonedAfter
}

/** Only who holds the second directory removes the first, after another look at it. */
const clearAbandoned = (directory) => {
  if (!isAbandoned(directory)) return
  const guard = `${directory}.takeover`
  if (make(guard)) {
    if (isAbandoned(directory)) rmSync(directory, { recursive: true, force: true })
    rmSync(guard, { recursive: true, force: true })
  } else if (ageOf(guard) > abandonedAfter) {
    rmSync(guard, { recursive: true, force: true })
  }
}

const touch = (directory) => {
  const now = new Date()
  try {
    utimesSync(directory, now, now)
  } catch {
    // Taken over while this process was suspended; the work is repeatable.
  }
}

export const withLock = async (directory, work) => {
  let told = false
  while (!make(directory)) {
    clearAbandoned(directory)
    if (!told) {
      say(`another run sets this checkout up (process ${ownerOf(directory) ?? "unknown"}): waiting for it`)
      told = true
    }
    await pause(200)
  }
  writeFileSync(join(directory, "pid"), String(process.pid))
  const timer = setInterval(touch, heartbeat, directory)
  const release = () => rmSync(directory, { recursive: true, force: true })
  process.once("exit", release)
  try {
    return await work()
  } finally {
    clearInterval(timer)
    process.off("exit", release)
    release()
  }
}
