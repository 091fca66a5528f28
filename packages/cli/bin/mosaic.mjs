#!/usr/bin/env node
/**
 * Starts `mosaic` on a Node that can run it: this one, or else the one that the project pins. It is plain JavaScript,
 * so that an old Node reads it as well and can say what is missing.
 */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import module from "node:module"
import { homedir } from "node:os"
import { dirname, isAbsolute, join } from "node:path"
import { fileURLToPath } from "node:url"

const self = fileURLToPath(import.meta.url)
const bundle = join(dirname(self), "..", "dist", "mosaic.mjs")
const least = [22, 19]
const configurationError = 8

const fail = (problem, remedy) => {
  process.stderr.write(`mosaic cannot start.\n${problem}\n${remedy}\n`)
  process.exitCode = configurationError
}

const isRecent = () => {
  const [major, minor] = process.versions.node.split(".").map(Number)
  return major > least[0] || (major === least[0] && minor >= least[1])
}

/** Not Node's default in the temporary directory, where another user could have put it. */
const compileCache = () => {
  const cacheHome = process.env.XDG_CACHE_HOME ?? ""
  return join(
    isAbsolute(cacheHome) ? cacheHome : join(homedir(), ".cache"),
    "mosaic-federation",
    "compile-cache"
  )
}

const pinnedNode = () => {
  for (let directory = dirname(self); ; directory = dirname(directory)) {
    const candidate = join(directory, "node_modules", "node", "bin", "node")
    if (existsSync(candidate)) return candidate
    if (dirname(directory) === directory) return undefined
  }
}

const handOver = (node) => {
  // Before there is a child: a signal that comes while it starts is its own as well.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    // A terminal sends Ctrl-C to both.
    process.on(signal, () => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal)
    })
  }
  const child = spawn(node, [self, ...process.argv.slice(2)], { stdio: "inherit" })
  child.once("error", (error) =>
    fail(`${node} does not run: ${error.message}`, "Begin afresh: rm -rf node_modules, then npm run build.")
  )
  child.once("exit", (code, signal) => {
    if (signal === null) {
      process.exitCode = code
    } else {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    }
  })
}

if (!isRecent()) {
  const node = pinnedNode()
  if (node === undefined) {
    fail(
      `It needs Node ${least.join(".")} or newer, this is ${process.versions.node}, and the project's own is not installed.`,
      "In a checkout, run npm start or npm run build, which install it; elsewhere, install a newer Node."
    )
  } else {
    handOver(node)
  }
} else if (!existsSync(bundle)) {
  fail(`${bundle} is missing.`, "In a checkout, run npm run build; elsewhere, install the package again.")
} else {
  module.enableCompileCache(compileCache())
  await import(bundle)
}
