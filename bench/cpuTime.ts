/** CPU time that processes have used, from /proc (Linux): user and system, in milliseconds. */
import { readdirSync, readFileSync } from "node:fs"

/** proc(5): ticks of a hundredth of a second on every Linux that Node runs on. */
const millisPerTick = 10

const statOf = (pid: number): { readonly parent: number; readonly millis: number } | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8")
    // The name in parentheses may hold spaces; the fields after it do not.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
    return {
      parent: Number(fields[1]),
      millis:
        (Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14])) * millisPerTick
    }
  } catch {
    return undefined
  }
}

/** Of one process and all below it; children that ended count through their parent. */
export const cpuMillis = (pid: number): number => {
  const stats = new Map(
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        const stat = statOf(Number(name))
        return stat === undefined ? [] : [[Number(name), stat] as const]
      })
  )
  const sum = (of: number): number =>
    (stats.get(of)?.millis ?? 0) +
    [...stats].filter(([, { parent }]) => parent === of).reduce((total, [child]) => total + sum(child), 0)
  return sum(pid)
}
