/** docs/federation/operator.md, word for word: every command of the guide is run, in its order, against a real gateway. */
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { Effect } from "effect"
import { startGateway } from "./support/gatewayProcess.ts"
import { launcher, type Station, station } from "./support/mosaic.ts"

const guide = readFileSync(
  fileURLToPath(new URL("../../../docs/federation/operator.md", import.meta.url)),
  "utf8"
)

const blocks = [...guide.matchAll(/^```(sh.*)\n([^]*?)^```$/gm)].map(([, info = "", script = ""]) => ({
  info,
  script
}))

/** `mosaic` and `jq` on PATH. */
const equip = ({ directory, environment }: Station, jq: string): Station => {
  const bin = join(environment["HOME"] ?? "", "bin")
  mkdirSync(bin)
  writeFileSync(join(bin, "mosaic"), `#!/bin/sh\nexec '${process.execPath}' '${launcher}' "$@"\n`)
  chmodSync(join(bin, "mosaic"), 0o755)
  symlinkSync(jq, join(bin, "jq"))
  return {
    directory,
    environment: { ...environment, PATH: `${bin}${delimiter}${environment["PATH"] ?? ""}` }
  }
}

/** What one block sets, the next one has. */
const shell = ({ directory, environment }: Station, variables: Record<string, string>, script: string) => {
  const ran = spawnSync("sh", ["-euc", `trap 'export -p > .variables' EXIT\n${script}`], {
    cwd: directory,
    env: { ...environment, ...variables },
    encoding: "utf8"
  })
  for (const name of [
    "GRANT",
    "SERIAL",
    "TOKEN",
    "KEY",
    "MOSAIC_GATEWAY_URL",
    "MOSAIC_API_KEY_FILE",
    "MOSAIC_GATEWAY_ROOT"
  ]) {
    const value = new RegExp(`^export ${name}='?([^'\n]*)'?$`, "m").exec(
      readFileSync(join(directory, ".variables"), "utf8")
    )?.[1]
    if (value !== undefined) variables[name] = value
  }
  return ran
}

layer(StepCaProcess.layer(), { excludeTestServices: true })("docs/federation/operator.md", (it) => {
  it.effect(
    "every command does what the guide says",
    () =>
      Effect.gen(function* () {
        const { environment, rootPath } = yield* StepCaProcess
        const jq = (yield* stepTools()).jq.path
        const server = equip(yield* station(environment), jq)
        const operator = equip(yield* station(), jq)
        const gateway = yield* startGateway(server)
        copyFileSync(rootPath, join(operator.directory, "root_ca.crt"))
        const variables: Record<"gateway" | "operator", Record<string, string>> = {
          gateway: {},
          operator: {}
        }
        assert.isAtLeast(blocks.length, 10)
        for (const { info, script } of blocks) {
          const at = info.includes("at=gateway") ? "gateway" : "operator"
          const ran = shell(
            at === "gateway" ? server : operator,
            variables[at],
            script
              .replaceAll("https://gateway.example:8443", gateway.url)
              .replaceAll(/^([A-Z]+)=/gm, "export $1; $1=")
          )
          const expected = /exit=(\d+)/.exec(info)?.[1] ?? "0"
          assert.strictEqual(String(ran.status), expected, `${script}\n${ran.stdout}\n${ran.stderr}`)
          if (expected === "3") assert.include(ran.stderr, "(GRANT_REVOKED)")
          if (script.includes("alice.key\n") && at === "gateway")
            copyFileSync(join(server.directory, "alice.key"), join(operator.directory, "alice.key"))
        }
        assert.strictEqual(statSync(join(server.directory, "alice.key")).mode & 0o777, 0o600)
        assert.strictEqual(statSync(join(operator.directory, "peer.token")).mode & 0o777, 0o600)
      }),
    300_000
  )
})
