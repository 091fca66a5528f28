/** infra/step-ca/README.md: its commands are run as they stand there, its tables compared with what is there. */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from "node:fs"
import { delimiter, join } from "node:path"
import { X509Certificate } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { StepCaProcess } from "../src/StepCaProcess.ts"
import { stepTools } from "../src/StepTools.ts"
import { filesIn, infra, sha256, temporary } from "./support/initScript.ts"

const text = readFileSync(join(infra, "README.md"), "utf8")

/** The shell blocks with this word behind `sh`, in their order, as one script. */
const script = (tag: string) =>
  [...text.matchAll(/^```sh (\S+)\n([^]*?)^```$/gm)]
    .filter(([, found]) => found === tag)
    .map(([, , body]) => body)
    .join("")

/** A directory in which the repository's paths are right and what the commands write is temporary. */
const workplace = Effect.gen(function* () {
  const base = yield* temporary
  const { jq, step, stepCa } = yield* stepTools()
  symlinkSync(join(infra, ".."), join(base, "infra"))
  mkdirSync(join(base, "bin"))
  symlinkSync(step.path, join(base, "bin", "step"))
  symlinkSync(stepCa.path, join(base, "bin", "step-ca"))
  symlinkSync(jq.path, join(base, "bin", "jq"))
  return base
})

const run = (base: string, lines: string, env: Readonly<Record<string, string>>) => {
  const { status, stderr, stdout } = spawnSync("sh", ["-euc", lines], {
    cwd: base,
    encoding: "utf8",
    env: { PATH: [join(base, "bin"), process.env["PATH"] ?? ""].join(delimiter), HOME: base, ...env }
  })
  assert.strictEqual(status, 0, `${lines}\n${stdout}${stderr}`)
  return stdout
}

describe("infra/step-ca/README.md", () => {
  it.live("has commands that work", () =>
    Effect.gen(function* () {
      const base = yield* workplace
      const stepPath = join(base, "mosaic-ca")
      const first = run(base, script("set-up"), { STEPPATH: stepPath, STEP_CA_ADDRESS: "127.0.0.1:9000" })
      assert.include(first, `first boot: making the CA in ${stepPath}`)

      const ca = yield* StepCaProcess.make({ stepPath })
      const env = { STEPPATH: stepPath, STEP_CA_ADDRESS: `127.0.0.1:${ca.port}` }
      const said = run(base, `${script("running")}env\n`, env)
      assert.match(said, /^healthy$/m)
      assert.notInclude(said, "served to everyone")
      const shipped = sha256(join(infra, "templates", "federation.tpl"))
      assert.strictEqual(said.match(new RegExp(`^${shipped} `, "gm"))?.length, 2)

      const mine = sha256(join(base, "my-templates", "federation.tpl"))
      assert.include(said, `template federation.tpl sha256 ${mine}`)
      assert.strictEqual(sha256(ca.templatePath), mine)

      const { subjectAltName } = new X509Certificate(readFileSync(join(base, "gateway.crt")))
      assert.strictEqual(subjectAltName, "DNS:localhost, IP Address:127.0.0.1")

      const exported = Object.fromEntries(
        [...said.matchAll(/^(STEP_CA_[A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value])
      )
      assert.strictEqual(exported["STEP_CA_URL"], ca.url)
      assert.strictEqual(exported["STEP_CA_PROVISIONER_KEY_JSON_FILE"], ca.provisioner.keyPath)
      assert.strictEqual(exported["STEP_CA_PROVISIONER_PASSWORD_FILE"], ca.provisioner.passwordPath)
      assert.strictEqual(sha256(exported["STEP_CA_ROOT_CERT_PATH"] ?? ""), sha256(ca.rootPath))
    })
  )

  it.live("lists the files of a CA with their modes", () =>
    Effect.gen(function* () {
      const base = yield* workplace
      const stepPath = join(base, "mosaic-ca")
      run(base, script("set-up"), { STEPPATH: stepPath, STEP_CA_ADDRESS: "127.0.0.1:9000" })
      const rows = [...text.matchAll(/^\| (`[^|]+`) \| (\d{3}) \|/gm)].flatMap(([, names, mode]) =>
        [...(names ?? "").matchAll(/`([^`]+)`/g)].map(([, name]) => [name ?? "", mode] as const)
      )
      for (const [name, mode] of rows) {
        assert.strictEqual((statSync(join(stepPath, name)).mode & 0o777).toString(8), mode, name)
      }
      const listed = rows.map(([name]) => name).filter((name) => !name.endsWith("/"))
      const files = Object.keys(filesIn(stepPath)).filter((name) => name !== ".mosaic-init.lock")
      assert.sameMembers(listed, files)
    })
  )

  it("lists the variables that init.sh lists, with their defaults", () => {
    const help = spawnSync("sh", [join(infra, "init.sh"), "--help"], { encoding: "utf8" }).stdout
    const inHelp = new Set(
      help.match(/^ {2}[A-Z][A-Z_, ]*[A-Z]\b/gm)?.flatMap((names) => names.trim().split(/, /))
    )
    const table = text.slice(text.indexOf("## Environment"), text.indexOf("## What it keeps"))
    const rows = [...table.matchAll(/^\| (`[A-Z_`, ]+`) \| (.*) \| (.*) \|$/gm)]
    const inTable = rows.flatMap(([, names]) => (names ?? "").replaceAll("`", "").split(", "))
    assert.sameMembers(inTable, [...inHelp])
    assert.isAtLeast(inTable.length, 20)
    // Each default that can be read out of the table stands in the help as well.
    for (const [, names, , value] of rows) {
      const [, shown] = /^`([^`]+)`$/.exec(value ?? "") ?? []
      if (shown !== undefined) assert.include(help, shown, names)
    }
  })

  it("speaks of files that are there", () => {
    for (const [, path] of text.matchAll(/\]\((?!https:)([^)]+)\)/g)) {
      assert.isTrue(existsSync(join(infra, path ?? "")), path)
    }
  })
})
