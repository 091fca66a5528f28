/** docs/federation/peer.md, word for word: a peer that has nothing but a token follows it. */
import { execFile, spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { makeCsr } from "@mosaic-federation/testing/Csr"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { Effect } from "effect"
import { launcher, mosaic } from "./support/mosaic.ts"
import { grantor, newcomer } from "./support/peers.ts"

const page = readFileSync(fileURLToPath(new URL("../../../docs/federation/peer.md", import.meta.url)), "utf8")

const blocks = [...page.matchAll(/^```(.*)\n([^]*?)^```$/gm)].map(([, info = "", content = ""]) => ({
  info,
  content
}))

const fileOf = (name: string) => blocks.find(({ info }) => info.endsWith(name))?.content ?? ""

const has = (program: string) => spawnSync(program, ["--version"]).error === undefined

layer(StepCaProcess.layer(), { excludeTestServices: true })("the peer's guide", (it) => {
  it.effect("every command does what the page says", () =>
    Effect.gen(function* () {
      const { newGrant, newToken } = yield* grantor()
      const grant = yield* newGrant()
      const { file, where } = yield* newcomer("none yet")
      const { jq } = yield* stepTools()
      const bin = join(where.directory, "bin")
      mkdirSync(bin)
      writeFileSync(join(bin, "mosaic"), `#!/bin/sh\nexec '${process.execPath}' '${launcher}' "$@"\n`)
      chmodSync(join(bin, "mosaic"), 0o755)
      symlinkSync(jq.path, join(bin, "jq"))
      writeFileSync(join(where.directory, "request.csr"), (yield* makeCsr("P-384")).pem)
      const env = { ...where.environment, PATH: `${bin}${delimiter}${where.environment["PATH"] ?? ""}` }
      const run = (script: string) =>
        Effect.callback<{ readonly failed: boolean; readonly output: string }>((resume) => {
          execFile("sh", ["-euc", script], { cwd: where.directory, env }, (error, stdout, stderr) => {
            resume(Effect.succeed({ failed: error !== null, output: stdout + stderr }))
          })
        })
      const scripts = blocks.filter(({ info }) => info === "sh")
      assert.isAtLeast(scripts.length, 6)
      const said: Array<string> = []
      for (const { content } of scripts) {
        if (content.includes("federation enroll")) writeFileSync(file, yield* newToken(grant))
        const script = has("curl") ? content : content.replaceAll(/^curl .*$/gm, ":")
        const { failed, output } = yield* run(script)
        assert.isFalse(failed, `${content}\n${output}`)
        said.push(output)
      }
      const all = said.join("\n")
      if (has("curl")) assert.include(all, `"grantId":"${grant}"`)
      assert.include(all, "\nvalid\n")

      const hook = join(where.directory, "orders-reload")
      writeFileSync(hook, fileOf("orders-reload"), { mode: 0o755 })
      if (has("openssl")) {
        const at = (name: string) => join(where.directory, "peer", name)
        const told = yield* run(`MOSAIC_PEER_CERT='${at("peer.crt")}' MOSAIC_PEER_DIR='${at(".")}' '${hook}'`)
        assert.isFalse(told.failed, told.output)
        assert.include(told.output, "notAfter=")
      }
    })
  )

  it.effect("the unit's command is one that the agent takes", () =>
    Effect.gen(function* () {
      const { newGrant, newToken } = yield* grantor()
      const { where } = yield* newcomer(yield* newToken(yield* newGrant()))
      yield* mosaic(where, ["federation", "enroll", "--token-file", "token", "--out", "peer"])
      const unit = fileOf("mosaic-peer.service")
      const [, command = ""] = /^ExecStart=\S+ (.+)$/m.exec(unit) ?? []
      const args = command.replace("/var/lib/orders/peer", "peer").split(" ")
      const once = yield* mosaic(where, [...args, "--once"])
      assert.strictEqual(once.code, 0, once.stderr)
      assert.include(unit, "RestartPreventExitStatus=3")
    })
  )
})
