import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { parseCertificates } from "@mosaic-federation/x509/Certificate"
import { removeDirectory } from "@mosaic-federation/testing/removeDirectory"
import { Effect, Result } from "effect"
import { CurrentPage } from "../src/Page.ts"
import { quickstart } from "../src/Quickstart.ts"
import { quickstartPaths } from "../src/QuickstartPaths.ts"

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "mosaic-quickstart-"))),
  removeDirectory
)

const read = (directory: string) => {
  const lines: Array<string> = []
  const add = (text = "") => {
    lines.push(text)
  }
  return quickstart(directory).pipe(
    Effect.provideService(CurrentPage, { heading: add, line: add, done: add }),
    Effect.map(() => lines.join("\n"))
  )
}

const leafOf = (path: string) => {
  const [leaf] = Result.getOrThrow(parseCertificates(readFileSync(path, "utf8")))
  assert(leaf !== undefined)
  return leaf
}

const octets = (uuid: string) =>
  `0C 24 ${Buffer.from(uuid).toString("hex").toUpperCase().replace(/../g, "$& ").trim()}`

/** What the page ends with: one command a line, two spaces before it, four where npm run ca is needed first. */
const suggested = (page: string) =>
  [...page.slice(page.indexOf("Try next")).matchAll(/^ {2,4}(\. \S+|node_modules.*|openssl.*)$/gm)].map(
    ([, command = ""]) => command
  )

const run = (commands: ReadonlyArray<string>) =>
  spawnSync("sh", ["-euc", commands.join("\n")], {
    cwd: fileURLToPath(new URL("../../../", import.meta.url)),
    encoding: "utf8"
  })

describe("quickstart", () => {
  it.live("issues a certificate and shows all of it; the next run a new one, from the same CA", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const paths = quickstartPaths(directory)
      const page = yield* read(directory)
      const leaf = leafOf(paths.certificate)
      const [, grantId = "", userId = ""] =
        /(\S{36}) lets gateway\.example act for user (\S{36})/.exec(page) ?? []
      assert.strictEqual(leaf.subject.text, `CN=${grantId}`)
      const flat = page.replace(/\s+/g, " ")
      for (const text of [octets(grantId), octets(userId), `serial ${leaf.serial}`, leaf.fingerprintSha256]) {
        assert.include(flat, text)
      }
      assert.match(page, /extension 1\.3\.6\.1\.4\.1\.99999\.1, UTF8String, 38 octets/)
      assert.match(page, /extension 1\.3\.6\.1\.4\.1\.99999\.2, UTF8String, 38 octets/)
      assert.match(page, /\(23 h 59 min left\)/)
      assert.match(page, /1 read the CSR[^]*8 recorded the certificate/)
      assert.match(page, / {2}ok {4}chain: /)
      assert.notMatch(page, /FAIL|n\/a/)
      const tried = run(suggested(page).filter((command) => !command.includes("cert issue")))
      assert.strictEqual(tried.status, 0, tried.stderr)
      assert.include(tried.stdout, "gateway.example, whose grant is active now")
      assert.include(tried.stdout, "a valid grant certificate")
      assert.strictEqual(statSync(paths.key).mode & 0o777, 0o600)
      assert.isUndefined(yield* StepCaProcess.findRunning(paths.stepPath))

      const root = readFileSync(join(paths.stepPath, "certs", "root_ca.crt"), "utf8")
      const again = yield* read(directory)
      assert.notInclude(again, grantId)
      assert.notStrictEqual(leafOf(paths.certificate).serial, leaf.serial)
      assert.strictEqual(readFileSync(join(paths.stepPath, "certs", "root_ca.crt"), "utf8"), root)
    })
  )

  it.live("uses the CA that already runs, and leaves it running", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const paths = quickstartPaths(directory)
      const ca = yield* StepCaProcess.make({ stepPath: paths.stepPath })
      const page = yield* read(directory)
      assert.include(page, `step-ca already runs at ${ca.url}`)
      assert.isDefined(ca.pid())
      const tried = run(suggested(page).filter((command) => /^\.|cert issue/.test(command)))
      assert.strictEqual(tried.status, 0, tried.stderr)
      assert.include(tried.stdout, "Issued a certificate to gateway.example under grant")
    })
  )

  it.live("ends all it started when it is interrupted", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const paths = quickstartPaths(directory)
      const program = fileURLToPath(new URL("programs/keepCa.ts", import.meta.url))
      const child = spawn(process.execPath, [program, directory], { stdio: ["ignore", "pipe", "inherit"] })
      let page = ""
      yield* Effect.callback<void>((resume) => {
        child.stdout.setEncoding("utf8").on("data", (text: string) => {
          page += text
          if (page.includes("Ctrl-C stops it.")) resume(Effect.void)
        })
      })
      const running = yield* StepCaProcess.findRunning(paths.stepPath)
      assert.isDefined(running)
      child.kill("SIGINT")
      const [code] = yield* Effect.promise(() => once(child, "exit"))
      assert.strictEqual(code, 130)
      assert.isUndefined(yield* StepCaProcess.findRunning(paths.stepPath))
      const env = readFileSync(paths.env, "utf8")
      assert.include(env, `export STEP_CA_URL='${running.url}'`)
      assert.include(env, `export MOSAIC_HOME='${paths.home}'`)
    })
  )
})
