/** How much the records take, and, where the database is on this machine, that its disk is not about to be full. */
import { statfs } from "node:fs/promises"
import { storageSize } from "@mosaic-federation/issuance/DatabaseReport"
import { Effect } from "effect"
import { type Check, failedBy, remedy, warning } from "../Check.ts"
import { Subject } from "../Subject.ts"

const mebibyte = 1024 * 1024

/** PostgreSQL stops when it cannot write its log, of which it keeps up to a gigabyte. */
const leastFree = 512 * mebibyte

const shown = (bytes: number) => `${(bytes / mebibyte).toFixed(1)} MiB`

const freeAt = (path: string) =>
  Effect.tryPromise(async () => {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  })

export const storage: Check = {
  id: "storage",
  name: "storage",
  needs: ["schema"],
  ifSilent: () => remedy("see whether the database answers", "mosaic db status"),
  run: () =>
    Effect.gen(function* () {
      const { database, home, settings } = yield* Subject
      const measured = Effect.flatMap(database, (services) => Effect.provide(storageSize, services))
      const size = yield* Effect.mapError(measured, (error) => failedBy(error, "mosaic db status"))
      const freeBytes =
        settings.database === null ? yield* Effect.orElseSucceed(freeAt(home), () => null) : null
      const evidence = { ...size, freeBytes }
      const { certificates, databaseBytes, grants } = size
      const detail = `${shown(databaseBytes)}, ${grants} grants, ${certificates} certificates`
      if (freeBytes !== null && freeBytes < leastFree) {
        return yield* warning({
          code: "DISK_NEARLY_FULL",
          problem: `${shown(freeBytes)} are free on the disk of the embedded database`,
          remedy: remedy(
            `free some space, or set MOSAIC_HOME to a directory of another disk`,
            `df -h ${home}`
          ),
          evidence,
          detail
        })
      }
      return { detail, evidence }
    })
}
