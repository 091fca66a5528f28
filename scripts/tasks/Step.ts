/** One step of a task: a program whose output matters only when it fails. */
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "./root.ts"

export interface Step {
  readonly name: string
  readonly file: string
  readonly args: ReadonlyArray<string>
}

export interface StepResult {
  readonly passed: boolean
  readonly output: string
  readonly seconds: number
}

/** The command of an installed package, run by this Node. */
export const program = (name: string, bin: string, args: ReadonlyArray<string>) => {
  const directory = join(root, "node_modules", name)
  const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as {
    readonly bin: string | Readonly<Record<string, string>>
  }
  const path = typeof manifest.bin === "string" ? manifest.bin : manifest.bin[bin]
  if (path === undefined) throw new Error(`${name} has no command ${bin}`)
  return { file: process.execPath, args: [join(directory, path), ...args] }
}

export const runStep = ({ args, file }: Step): Promise<StepResult> =>
  new Promise((resolve) => {
    const since = Date.now()
    const child = spawn(file, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] })
    const chunks: Array<Buffer> = []
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk))
    const finish = (passed: boolean, output: string) =>
      resolve({ passed, output: output.trim(), seconds: (Date.now() - since) / 1000 })
    child.once("error", (error) => finish(false, error.message))
    child.once("close", (code) => finish(code === 0, Buffer.concat(chunks).toString("utf8")))
  })

/** What the linter looks at. */
export const linted = ["packages", "scripts", "bench"]
