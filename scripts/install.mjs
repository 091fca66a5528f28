/**
 * Installs what the lockfile says with the pinned pnpm, the pinned Node among it, when a manifest or the lockfile has
 * changed since the last time. A stamp in node_modules remembers for which ones that was.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { capture } from "./child.mjs"
import { cleanEnvironment } from "./environment.mjs"
import { withLock } from "./lock.mjs"
import { manifest, pinnedNode, root } from "./paths.mjs"
import { say, whileSlow } from "./progress.mjs"
import { SetupError } from "./SetupError.mjs"

const pnpmVersion = manifest.packageManager.replace(/^pnpm@/, "")
const nodeVersion = manifest.devDependencies.node
const stampPath = join(root, "node_modules", ".mosaic-installed")

/** What an installation depends on: a change of any of them makes it due again. */
const fingerprint = () => {
  const packages = readdirSync(join(root, "packages")).sort()
  const files = [
    "package.json",
    "pnpm-workspace.yaml",
    "pnpm-lock.yaml",
    ...packages.map((name) => join("packages", name, "package.json")),
    // pnpm links a command only if its file is there.
    ...packages.flatMap((name) => {
      const bin = join("packages", name, "bin")
      return existsSync(join(root, bin)) ? readdirSync(join(root, bin)).map((file) => join(bin, file)) : []
    })
  ]
  const hash = createHash("sha256").update(`${pnpmVersion} ${process.platform} ${process.arch}\n`)
  for (const file of files) {
    const path = join(root, file)
    if (!existsSync(path)) continue
    hash.update(`${file}\n`)
    if (!file.includes("/bin/")) hash.update(readFileSync(path))
  }
  return hash.digest("hex")
}

const isInstalled = (wanted) =>
  existsSync(stampPath) && readFileSync(stampPath, "utf8") === wanted && existsSync(pinnedNode)

/** npx of the npm that called us, else the one on PATH. */
const npx = () => {
  const beside = process.env.npm_execpath?.replace(/npm-cli\.js$/, "npx-cli.js")
  return beside?.endsWith("npx-cli.js") && existsSync(beside)
    ? { file: process.execPath, args: [beside] }
    : { file: "npx", args: [] }
}

/** The pnpm on PATH where it is the pinned version, else npx fetches it. */
const findPnpm = async (env) => {
  // Away from this checkout, where a pnpm would switch to the pinned version, and fetch it, to say which it is.
  const own = await capture("pnpm", ["--version"], {
    cwd: tmpdir(),
    env: { ...env, COREPACK_ENABLE_NETWORK: "0" },
    timeout: 10_000
  })
  if (own.code === 0 && own.output.trim() === pnpmVersion) {
    return { file: "pnpm", args: [], origin: "found on PATH" }
  }
  const { args, file } = npx()
  const probe = await capture(file, [...args, "--version"], { cwd: root, env, timeout: 30_000 })
  if (probe.code !== 0) {
    throw new SetupError("npm is not installed (no npx on PATH)", [
      "install npm, which belongs to Node (https://nodejs.org; Debian: apt-get install npm)",
      `or install pnpm ${pnpmVersion} on PATH`
    ])
  }
  const spec = `pnpm@${pnpmVersion}`
  return { file, args: [...args, "--yes", spec], origin: "by npx" }
}

const causes = [
  [
    /ENOSPC|no space left/i,
    "the disk is full",
    ["free about 1 GB here and where pnpm keeps its store, then try again"]
  ],
  [
    /ERR_PNPM_OUTDATED_LOCKFILE|ERR_PNPM_NO_LOCKFILE|ERR_PNPM_LOCKFILE_CONFIG_MISMATCH/,
    "pnpm-lock.yaml does not fit the manifests",
    [`npx pnpm@${pnpmVersion} install, and commit pnpm-lock.yaml with the manifest`]
  ],
  [
    /EINTEGRITY|ERR_PNPM_TARBALL_INTEGRITY/,
    "a package differs from the lockfile's checksum",
    ["check which registry is set: npm config get registry", "empty a caching proxy, then try again"]
  ],
  [
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|META_FETCH_FAIL|ENETUNREACH|EHOSTUNREACH|UNABLE_TO_|SELF_SIGNED_CERT|CERT_HAS_EXPIRED/,
    "the npm registry was not reached",
    [
      "check the network, and which registry is set: npm config get registry",
      "behind a proxy, set HTTPS_PROXY; behind one with a CA of its own, also NODE_EXTRA_CA_CERTS"
    ]
  ],
  [
    /EACCES|EPERM/,
    "a file cannot be written",
    [`make the checkout yours again: sudo chown -R "$(id -un)" ${root}`]
  ],
  [
    /ERR_PNPM_FETCH_40[134]|E404/,
    "the registry does not have a package, or refuses it",
    ["check which registry is set, and that you are logged in to it: npm config get registry"]
  ]
]

const failure = (output) => {
  const known = causes.find(([expression]) => expression.test(output))
  const [message, remedies] = known?.slice(1) ?? [
    "pnpm install failed",
    ["read its last words above, then try again"]
  ]
  say(output.split("\n").slice(-12).join("\n"))
  return new SetupError(message, remedies)
}

const checkNode = async (env) => {
  const { code, output } = await capture(pinnedNode, ["--version"], { cwd: root, env, timeout: 30_000 })
  if (code === 0 && output.trim() === `v${nodeVersion}`) return
  throw new SetupError(
    `Node ${nodeVersion} was not installed as ${relative(root, pinnedNode)} (${output.trim() || code})`,
    [
      "allow its installation script, where ignore-scripts is set: npm config get ignore-scripts",
      "on Linux it needs glibc: Alpine and other musl systems are not supported",
      "begin afresh: rm -rf node_modules"
    ]
  )
}

/** pnpm's wrapper does not hand over its process, so that a signal would not reach the Node behind it. */
const linkNode = () => {
  const link = join(root, "node_modules", ".bin", "node")
  rmSync(link, { force: true })
  symlinkSync(relative(dirname(link), pinnedNode), link)
}

const install = async (wanted) => {
  const env = cleanEnvironment()
  rmSync(stampPath, { force: true })
  const pnpm = await findPnpm(env)
  say(`installing packages and Node ${nodeVersion} with pnpm ${pnpmVersion} (${pnpm.origin})`)
  let state = ""
  const since = Date.now()
  const { code, output } = await whileSlow(
    (seconds) => `installing${state === "" ? "" : `: ${state}`}, ${seconds} s`,
    capture(
      pnpm.file,
      [
        ...pnpm.args,
        "install",
        "--frozen-lockfile",
        "--reporter=append-only",
        "--config.confirmModulesPurge=false"
      ],
      {
        cwd: root,
        env,
        onLine: (line) => {
          const progress = /Progress: (.*?)(?:, done)?$/.exec(line)
          if (progress !== null) state = progress[1]
        }
      }
    )
  )
  if (code !== 0) throw failure(output)
  await checkNode(env)
  linkNode()
  writeFileSync(stampPath, wanted)
  say(`installed in ${Math.round((Date.now() - since) / 1000)} s: node_modules`)
}

export const ensureInstalled = async () => {
  const wanted = fingerprint()
  if (!isInstalled(wanted)) {
    mkdirSync(join(root, ".mosaic"), { recursive: true, mode: 0o700 })
    await withLock(join(root, ".mosaic", "setup.lock"), async () => {
      if (!isInstalled(wanted)) await install(wanted)
    })
  }
  say(`Node ${nodeVersion}: ${relative(root, pinnedNode)}`)
}
