/** Installs the system packages that `npm run check` and `npm test` use in full, from the mirror that apt is set up with. */
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"
import { runToEnd } from "./child.mjs"
import { cleanEnvironment } from "./environment.mjs"
import { say } from "./progress.mjs"
import { SetupError } from "./SetupError.mjs"

/** Program and Debian package. */
const parts = [
  ["shellcheck", "shellcheck"],
  ["openssl", "openssl"],
  // Makes the Debian 13 root in which PostgreSQL 17, pgvector and Valkey 8 run for tests.
  ["debootstrap", "debootstrap"],
  // Resolves docker-compose.federated.yml without an engine.
  ["docker-compose", "docker-compose"]
]

const isOnPath = (program) =>
  [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"].some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/** The exit code. */
export const installParts = async () => {
  const missing = parts.filter(([program]) => !isOnPath(program)).map(([, name]) => name)
  if (missing.length === 0) {
    say(`system packages are there: ${parts.map(([, name]) => name).join(", ")}`)
    return 0
  }
  const install = ["install", "--yes", "--no-install-recommends", ...missing]
  if (!isOnPath("apt-get")) {
    throw new SetupError(`not installed: ${missing.join(", ")}`, ["install them with your package manager"])
  }
  if (process.getuid() !== 0) {
    throw new SetupError(`not installed: ${missing.join(", ")}; this needs root`, [
      `sudo apt-get update && sudo apt-get ${install.join(" ")}`
    ])
  }
  say(`installing ${missing.join(", ")} with apt-get`)
  const env = { ...cleanEnvironment(), DEBIAN_FRONTEND: "noninteractive" }
  const updated = await runToEnd("apt-get", ["update", "--quiet=2"], { env })
  return updated === 0 ? runToEnd("apt-get", ["--quiet=2", ...install], { env }) : updated
}
