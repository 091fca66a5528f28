/**
 * docs/embedding.md, as a stranger would follow it: its programs are compiled and run in an empty project, against the
 * packages as they would be published, and ask a real step-ca.
 */
import { readdirSync, readFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { spawn } from "node:child_process"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, layer } from "@effect/vitest"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { parseCertificate } from "@mosaic-federation/x509/Certificate"
import { fromExtensions } from "@mosaic-federation/x509/GrantExtension"
import { grantOids } from "@mosaic-federation/x509/Oid"
import { Context, Effect, Layer, Result } from "effect"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const document = readFileSync(join(root, "docs/embedding.md"), "utf8")
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly packageManager: string
  readonly devDependencies: Readonly<Record<string, string>>
}

const published = ["x509", "domain", "issuance"] as const

/** The blocks of the document that say which file they are. */
const files = Object.fromEntries(
  [...document.matchAll(/^```\w+ file=(\S+)\n([^]*?)^```$/gm)].map(([, name, text]) => [
    name ?? "",
    text ?? ""
  ])
)

interface Ended {
  readonly code: number | null
  readonly output: string
}

const run = (
  cwd: string,
  [file = "", ...args]: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
) =>
  Effect.callback<Ended>((resume) => {
    const child = spawn(file, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const said: Array<Buffer> = []
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => said.push(part))
    child.once("error", (error) => resume(Effect.succeed({ code: null, output: error.message })))
    child.once("close", (code) => {
      resume(Effect.succeed({ code, output: Buffer.concat(said).toString("utf8") }))
    })
    return Effect.sync(() => child.kill())
  })

const succeed = Effect.fnUntraced(function* (...command: Parameters<typeof run>) {
  const { code, output } = yield* run(...command)
  assert.strictEqual(code, 0, `${command[1].join(" ")}\n${output}`)
  return output
})

const pnpm = ["npx", "--yes", manifest.packageManager]

/** The command of an installed package, run by this Node. */
const tool = (name: string) => {
  const path = join(root, "node_modules", name)
  const { bin } = JSON.parse(readFileSync(join(path, "package.json"), "utf8")) as {
    readonly bin: string | Readonly<Record<string, string>>
  }
  const file = typeof bin === "string" ? bin : Object.values(bin)[0]
  return [process.execPath, join(path, file ?? "")]
}

interface Project {
  readonly directory: string
  readonly tarballs: Readonly<Record<string, string>>
}

/** An empty project with nothing but what the document has it install. */
class Stranger extends Context.Service<Stranger, Project>()("@mosaic-federation/issuance/test/Stranger") {
  static readonly layer = Layer.effect(
    Stranger,
    Effect.gen(function* () {
      const base = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-embedding-"))),
        (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
      )
      yield* succeed(root, [...tool("typescript"), "-b", "packages/issuance"])
      const filters = published.map((name) => `--filter=./packages/${name}`)
      yield* succeed(root, [...pnpm, ...filters, "pack", "--pack-destination", base])
      const tarballs = Object.fromEntries(
        readdirSync(base).map((file) => [
          file.replace(/^mosaic-federation-(\w+)-.*$/, "@mosaic-federation/$1"),
          join(base, file)
        ])
      )
      const directory = join(base, "project")
      mkdirSync(directory)
      for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
      const given = JSON.parse(files["package.json"] ?? "") as { readonly overrides: object }
      // What the document's npm install names; the packages that these need in turn are not in a registry yet.
      const wanted = /^npm install (.*)$/m.exec(document)?.[1]?.split(" ") ?? []
      const dependencies = Object.fromEntries(
        wanted.map((spec) => {
          const [, name = "", version] = /^(.+?)(?:@([\d.]+))?$/.exec(spec) ?? []
          return [name, version ?? `file:${tarballs[name]}`]
        })
      )
      const ours = Object.entries(tarballs).map(([name, path]) => [name, `file:${path}`] as const)
      writeFileSync(
        join(directory, "package.json"),
        JSON.stringify({
          ...given,
          dependencies,
          devDependencies: { "@types/node": manifest.devDependencies["@types/node"] },
          pnpm: { overrides: { ...given.overrides, ...Object.fromEntries(ours) } }
        })
      )
      yield* succeed(directory, [
        ...pnpm,
        "install",
        "--prefer-offline",
        "--ignore-workspace",
        "--no-frozen-lockfile"
      ])
      return { directory, tarballs }
    })
  )
}

const oids = Result.getOrThrow(grantOids())
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const userId = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

/** What a program printed about its certificate, and the certificate itself. */
const certificateIn = (output: string) => {
  const leaf = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/.exec(output)?.[0] ?? ""
  const { extensions, serial } = Result.getOrThrow(parseCertificate(leaf))
  const printed = /^serial (\d+)/m.exec(output)?.[1]
  assert.strictEqual(serial, printed)
  return Result.getOrThrow(fromExtensions(extensions, oids))
}

/** Runs a program of the document where it finds a fresh request, this CA and a home of its own. */
const follow = Effect.fnUntraced(function* (name: string) {
  const { directory } = yield* Stranger
  const { environment } = yield* StepCaProcess
  const csr = yield* makeCsr("P-256")
  writeFileSync(join(directory, "request.csr"), csr.pem)
  return yield* succeed(directory, [process.execPath, name], {
    ...environment,
    MOSAIC_HOME: join(directory, "home")
  })
})

describe("docs/embedding.md", () => {
  layer(Layer.mergeAll(Stranger.layer, StepCaProcess.layer()), {
    excludeTestServices: true,
    timeout: "5 minutes"
  })((it) => {
    it.effect("has packages without a fault of packaging", () =>
      Effect.gen(function* () {
        const { tarballs } = yield* Stranger
        assert.sameMembers(
          Object.keys(tarballs),
          published.map((name) => `@mosaic-federation/${name}`)
        )
        for (const path of Object.values(tarballs)) {
          assert.include(yield* succeed(root, [...tool("publint"), path, "--strict"]), "All good!")
        }
      })
    )

    it.effect("has programs that compile, the packages' own declarations checked with them", () =>
      Effect.gen(function* () {
        const { directory } = yield* Stranger
        assert.notInclude(files["tsconfig.json"] ?? "", "skipLibCheck")
        yield* succeed(directory, [...tool("typescript"), "-p", "."])
      })
    )

    it.effect("has a program with the production layers that issues and records", () =>
      Effect.gen(function* () {
        const output = yield* follow("with-production-layers.ts")
        assert.match(output, /^serial \d+, until \d{4}-\d\d-\d\dT[\d:.]+Z$/m)
        assert.strictEqual(output.match(/BEGIN CERTIFICATE/g)?.length, 2)
        const { grantId, subjectUserId } = certificateIn(output)
        assert.match(grantId, uuid)
        assert.strictEqual(subjectUserId, userId)
      })
    )

    it.effect("has a program with records of its own that issues and records", () =>
      Effect.gen(function* () {
        const output = yield* follow("with-own-records.ts")
        assert.match(output, /^serial \d+ is issued$/m)
        assert.deepStrictEqual(certificateIn(output), {
          grantId: "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
          subjectUserId: userId
        })
      })
    )

    it.effect("has a program with a StepCa of its own that issues through it", () =>
      Effect.gen(function* () {
        const output = yield* follow("with-own-step-ca.ts")
        const [, serial] = /^serial (\d+)/m.exec(output) ?? []
        assert.include(output, `asking for ${serial}\n`)
        assert.strictEqual(certificateIn(output).subjectUserId, userId)
      })
    )

    it.effect("fails when the layer is built where a setting is wrong", () =>
      Effect.gen(function* () {
        const { directory } = yield* Stranger
        const { environment } = yield* StepCaProcess
        const { code, output } = yield* run(directory, [process.execPath, "with-own-records.ts"], {
          ...environment,
          STEP_CA_URL: "http://localhost"
        })
        assert.strictEqual(code, 8)
        assert.match(output, /STEP_CA_URL/)
      })
    )
  })
})
