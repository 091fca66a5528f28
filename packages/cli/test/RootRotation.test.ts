/** docs/federation/rotation.md, the root: each of its commands, at a real step-ca, with a gateway and a peer that live through it. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { parseCertificates } from "@mosaic-federation/x509/Certificate"
import { Effect, Result, Schedule } from "effect"
import { isRenewed, makeDue, startAgent } from "./support/agentProcess.ts"
import { launcher, mosaic } from "./support/mosaic.ts"
import { grantorAt, newcomer } from "./support/peers.ts"

const page = readFileSync(
  fileURLToPath(new URL("../../../docs/federation/rotation.md", import.meta.url)),
  "utf8"
)

const steps = [...page.matchAll(/^```sh root\n([^]*?)^```$/gm)].map(([, script = ""]) => script)

const namesIn = (pem: string) => Result.getOrThrow(parseCertificates(pem)).map(({ subject }) => subject.text)

const read = (...path: ReadonlyArray<string>) => readFileSync(join(...path), "utf8")

/** Until it is so; the test's own time-out ends the wait. */
const until = (isSo: () => boolean) =>
  Effect.repeat(Effect.sync(isSo), { until: (so) => so, schedule: Schedule.spaced("50 millis") })

it.live(
  "a peer that knows of nothing goes from the old root to the new one",
  () =>
    Effect.gen(function* () {
      assert.lengthOf(steps, 5)
      const ca = yield* StepCaProcess.make({ lifetimes: { min: "5s", default: "90s", max: "24h" } })
      const { gateway, newGrant, newToken, where } = yield* grantorAt({
        ...ca,
        environment: { ...ca.environment, STEP_CA_ROOT_CERT_PATH: join(ca.stepPath, "gateway/root_ca.crt") }
      })
      const { jq, step } = yield* stepTools()
      const bin = join(where.environment["HOME"] ?? "", "bin")
      mkdirSync(bin)
      const program = (name: string, body: string) => {
        writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`)
        chmodSync(join(bin, name), 0o755)
      }
      program("mosaic", `exec '${process.execPath}' '${launcher}' "$@"`)
      symlinkSync(jq.path, join(bin, "jq"))
      symlinkSync(step.path, join(bin, "step"))
      // There is no service manager: what it is asked for is done after the block.
      const asked = join(bin, "asked")
      program("systemctl", `echo "$*" >>'${asked}'`)

      /** One block of the page, and what it has asked the service manager for. */
      const run = Effect.fnUntraced(function* (script: string) {
        const child = spawn("sh", ["-euc", script], {
          cwd: ca.stepPath,
          env: {
            ...where.environment,
            STEPPATH: ca.stepPath,
            PATH: [bin, where.environment["PATH"] ?? ""].join(delimiter)
          },
          stdio: ["ignore", "pipe", "pipe"]
        })
        const [stdout, stderr, [code]] = yield* Effect.promise(() =>
          Promise.all([text(child.stdout), text(child.stderr), once(child, "close")])
        )
        assert.strictEqual(code, 0, `${script}\n${stdout}${stderr}`)
        const orders = existsSync(asked) ? read(asked).trim().split("\n") : []
        rmSync(asked, { force: true })
        for (const order of orders) {
          if (order === "restart step-ca") {
            yield* ca.stop
            yield* ca.start
          } else {
            assert.strictEqual(order, "reload mosaic-gateway")
            const reloads = () => gateway.log().filter(({ message }) => message === "reloaded").length
            const before = reloads()
            process.kill(gateway.pid, "SIGHUP")
            yield* until(() => reloads() > before)
          }
        }
        return stdout
      })

      const { dir, where: peer } = yield* newcomer(yield* newToken(yield* newGrant()))
      const enrolled = yield* mosaic(peer, ["federation", "enroll", "--token-file", "token", "--out", "peer"])
      assert.strictEqual(enrolled.code, 0, enrolled.stderr)
      const renewed = Effect.scoped(
        Effect.gen(function* () {
          makeDue(dir)
          const agent = yield* startAgent(peer)
          yield* agent.logged(isRenewed)
          assert.strictEqual(yield* agent.end("SIGTERM"), 0)
          const known = yield* mosaic(peer, ["federation", "whoami", "--dir", "peer"])
          assert.strictEqual(known.code, 0, known.stderr)
          return namesIn(read(dir, "root.crt"))
        })
      )
      const verified = (root: string) =>
        Effect.map(
          mosaic(peer, ["federation", "cert", "verify", "peer/peer.crt", "--root", root, "--json"]),
          ({ code }) => code
        )

      const [make = "", trust = "", issue = "", look = "", drop = ""] = steps
      const old = namesIn(ca.rootPem)
      const next = ["CN=Mosaic Root CA 2"]
      yield* run(make)
      yield* run(trust)
      assert.deepStrictEqual(yield* renewed, [...old, ...next])
      yield* run(issue)
      assert.match(yield* run(look), /peer\.crt: a valid grant certificate/)
      // Issued before, and good as ever.
      const known = yield* mosaic(peer, ["federation", "whoami", "--dir", "peer"])
      assert.strictEqual(known.code, 0, known.stderr)
      assert.deepStrictEqual(yield* renewed, [...old, ...next])
      assert.strictEqual(yield* verified(join(ca.stepPath, "next/root_ca.crt")), 0)
      yield* run(drop)
      assert.deepStrictEqual(yield* renewed, next)
      assert.strictEqual(yield* verified(join(dir, "root.crt")), 0)
    }),
  300_000
)
