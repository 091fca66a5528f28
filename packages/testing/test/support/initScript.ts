/** Runs `infra/step-ca/init.sh` as an operator would, with nothing in its environment but what a test says. */
import { createHash } from "node:crypto"
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { compactDecrypt, type JWK } from "jose"
import { onPath } from "../../src/GoToolchain.ts"
import { runCommand } from "../../src/internal/runCommand.ts"
import { stepTools } from "../../src/StepTools.ts"

export const infra = fileURLToPath(new URL("../../../../infra/step-ca", import.meta.url))

/** A directory that goes with the scope. */
export const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-init-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

export interface BootOptions {
  /** Default: `init`, which starts nothing. */
  readonly args?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Shell text to run before init.sh takes the place of the shell, such as a limit. */
  readonly before?: string
}

export const boot = Effect.fnUntraced(function* (stepPath: string, options: BootOptions = {}) {
  const tools = yield* stepTools()
  const { args = ["init"], before = ":", env } = options
  return yield* runCommand({
    file: "sh",
    args: ["-c", `${before}; exec sh "$@"`, "sh", join(infra, "init.sh"), ...args],
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: tmpdir(),
      STEPPATH: stepPath,
      STEP_CA_BIN: tools.stepCa.path,
      STEP_BIN: tools.step.path,
      JQ_BIN: tools.jq.path,
      ...env
    }
  })
})

/** A boot that has to succeed; what it said. */
export const booted = Effect.fnUntraced(function* (stepPath: string, options: BootOptions = {}) {
  const { code, stderr, stdout } = yield* boot(stepPath, options)
  assert.strictEqual(code, 0, stderr)
  return stdout
})

/** A boot that has to be refused; why. */
export const refused = Effect.fnUntraced(function* (stepPath: string, options: BootOptions = {}) {
  const { code, stderr, stdout } = yield* boot(stepPath, options)
  assert.strictEqual(code, 1, stdout + stderr)
  return stderr
})

export interface Provisioner {
  readonly type: string
  readonly name: string
  readonly key: JWK
  readonly encryptedKey?: string
  readonly claims: Readonly<Record<string, unknown>>
  readonly options: {
    readonly x509: { readonly templateFile: string; readonly templateData: unknown }
  }
}

export interface CaConfig {
  readonly address: string
  readonly dnsNames: ReadonlyArray<string>
  readonly crl: { readonly enabled: boolean }
  readonly authority: { readonly provisioners: ReadonlyArray<Provisioner> }
}

export const caJson = (stepPath: string) => join(stepPath, "config", "ca.json")

export const readConfig = (stepPath: string): CaConfig =>
  JSON.parse(readFileSync(caJson(stepPath), "utf8")) as CaConfig

export const provisionerOf = (config: Pick<CaConfig, "authority">, name: string): Provisioner => {
  const found = config.authority.provisioners.find((one) => one.name === name)
  assert(found !== undefined, `no provisioner ${name}`)
  return found
}

/** The private key that a JWE file of init.sh holds. */
export const openKey = (jwePath: string, password: string) =>
  Effect.promise(async () => {
    const { plaintext } = await compactDecrypt(
      readFileSync(jwePath, "utf8"),
      new TextEncoder().encode(password),
      {
        keyManagementAlgorithms: ["PBES2-HS256+A128KW"],
        maxPBES2Count: 1_000_000
      }
    )
    return JSON.parse(new TextDecoder().decode(plaintext)) as JWK
  })

export const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex")

/** Every file below a directory: its mode and content, and its inode, which a replaced file does not keep. */
export const filesIn = (directory: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    readdirSync(directory, { recursive: true, encoding: "utf8" })
      .sort()
      .map((path) => [path, lstatSync(join(directory, path))] as const)
      .filter(([, stat]) => stat.isFile())
      .map(([path, { ino, mode, mtimeMs }]) => [
        path,
        [(mode & 0o777).toString(8), sha256(join(directory, path)), ino, mtimeMs].join(" ")
      ])
  )

/** What POSIX gives every shell script, and what init.sh looks for beside: flock and a program for SHA-256. */
const commands = [
  ..."awk cat chmod cmp cp cut dirname env find id kill ln ls mkdir mktemp mv od ps rm rmdir".split(" "),
  ..."sed sh sha256sum shasum sleep sync touch tr flock".split(" ")
]

/** A directory for PATH with these programs and no others. */
export const pathWithout = Effect.fnUntraced(function* (without: ReadonlyArray<string> = []) {
  const directory = join(yield* temporary, "bin")
  mkdirSync(directory)
  for (const name of commands.filter((one) => !without.includes(one))) {
    const [program] = onPath(name)
    if (program !== undefined) symlinkSync(program, join(directory, name))
  }
  return directory
})
