/** The command as users have it: a process of its own, started by the launcher, in a directory and a home of its own. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { Effect } from "effect"

export const launcher = fileURLToPath(new URL("../../bin/mosaic.mjs", import.meta.url))

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Station {
  /** Where relative paths lead, empty at first. */
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
}

export type Extra = Readonly<Record<string, string | undefined>>

/** With `environment` beside what makes it independent of whoever runs the tests. */
export const station = (environment: Readonly<Record<string, string>> = {}) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-cli-"))),
      removeDirectory
    ),
    (root): Station => {
      const directory = join(root, "work")
      mkdirSync(directory)
      return {
        directory,
        environment: {
          PATH: process.env["PATH"] ?? "",
          HOME: root,
          MOSAIC_HOME: join(root, "home"),
          XDG_CACHE_HOME: join(tmpdir(), "mosaic-cli-cache"),
          ...environment
        }
      }
    }
  )

export const start = ({ directory, environment }: Station, args: ReadonlyArray<string>, extra: Extra = {}) =>
  spawn(process.execPath, [launcher, ...args], {
    cwd: directory,
    env: { ...environment, ...extra },
    stdio: ["pipe", "pipe", "pipe"]
  })

export const finish = async (child: ReturnType<typeof start>, input = ""): Promise<Ran> => {
  // A command that reads nothing may have ended already.
  child.stdin.on("error", () => undefined)
  child.stdin.end(input)
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit") as Promise<[number | null]>
  ])
  return { code, stdout, stderr }
}

export const mosaic = (
  where: Station,
  args: ReadonlyArray<string>,
  { input = "", ...extra }: Extra & { readonly input?: string } = {}
) => Effect.promise(() => finish(start(where, args, extra), input))

export interface ErrorDocument {
  readonly error: {
    readonly code: string
    readonly title: string
    readonly message: string
    readonly remediation: string
    readonly exitCode: number
    readonly details: Readonly<Record<string, unknown>>
  }
}

/** Exactly one document on exactly one line; the caller knows of which shape. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- it types what JSON.parse leaves open
export const documentOf = <A>(stdout: string): A => {
  const [line, rest, ...more] = stdout.split("\n")
  if (line === undefined || rest !== "" || more.length > 0)
    throw new Error(`not one line: ${JSON.stringify(stdout)}`)
  return JSON.parse(line) as A
}

export const user = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

/** The id of a new grant. */
export const createGrant = (where: Station, ...options: ReadonlyArray<string>) =>
  Effect.map(
    mosaic(where, [
      "federation",
      "grant",
      "create",
      "--user",
      user,
      "--peer",
      "gateway.example",
      ...options,
      "--json"
    ]),
    ({ stdout }) => documentOf<{ readonly id: string }>(stdout).id
  )
