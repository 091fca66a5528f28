/** What a Dockerfile says, for tests that do it without a container engine. */
import { readFileSync } from "node:fs"

export interface Copy {
  readonly flags: ReadonlyArray<string>
  readonly sources: ReadonlyArray<string>
  readonly target: string
}

export interface Dockerfile {
  /** The instructions in their order. */
  readonly names: ReadonlyArray<string>
  /** What stands behind each instruction of this name. */
  readonly named: (name: string) => ReadonlyArray<string>
  readonly copies: ReadonlyArray<Copy>
  /** In exec form. */
  readonly entryPoint: ReadonlyArray<string>
  readonly healthCheck: ReadonlyArray<string>
}

const copyOf = (rest: string): Copy => {
  const words = rest.split(" ")
  const flags = words.filter((word) => word.startsWith("--"))
  const paths = words.slice(flags.length)
  return { flags, sources: paths.slice(0, -1), target: paths.at(-1) ?? "" }
}

export const execForm = (text = ""): ReadonlyArray<string> => JSON.parse(text) as ReadonlyArray<string>

export const readDockerfile = (path: string): Dockerfile => {
  // Continued lines joined, without comments.
  const instructions = readFileSync(path, "utf8")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, name = "", rest = ""] = /^([A-Z]+) (.*)$/.exec(line) ?? []
      return { name, rest }
    })
  const named = (name: string) => instructions.filter((one) => one.name === name).map(({ rest }) => rest)
  return {
    names: instructions.map(({ name }) => name),
    named,
    copies: named("COPY").map(copyOf),
    entryPoint: execForm(named("ENTRYPOINT")[0]),
    healthCheck: execForm(/CMD (\[.*\])$/.exec(named("HEALTHCHECK")[0] ?? "")?.[1])
  }
}
