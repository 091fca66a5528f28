/**
 * infra/step-ca/Dockerfile, as far as it can be tried without a container engine: what it copies is there, its version is
 * the one that everything else uses, and its entry point and health check work with the files and the environment that
 * the image gives them.
 */
import { spawnSync } from "node:child_process"
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs"
import { basename, delimiter, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readDockerfile } from "../src/Dockerfile.ts"
import { StepCaProcess } from "../src/StepCaProcess.ts"
import { stepTools } from "../src/StepTools.ts"
import { infra, temporary } from "./support/initScript.ts"

const { copies, entryPoint, healthCheck, named, names } = readDockerfile(join(infra, "Dockerfile"))

describe("infra/step-ca/Dockerfile", () => {
  it("stands on the official image in the version that the tools have", () => {
    const pinned = /smallstep\/certificates v(\S+)/.exec(
      readFileSync(join(infra, "tools", "go.mod"), "utf8")
    )?.[1]
    assert.deepStrictEqual(
      named("FROM").map((image) => image.replace(/@sha256:[0-9a-f]{64}$/, "")),
      [`smallstep/step-ca:${pinned}`]
    )
  })

  it("knows every instruction that it has", () => {
    assert.deepStrictEqual(names, [
      "FROM",
      "USER",
      "COPY",
      "COPY",
      "RUN",
      "USER",
      "ENV",
      "EXPOSE",
      "STOPSIGNAL",
      "HEALTHCHECK",
      "ENTRYPOINT"
    ])
  })

  it("runs as step, adds jq, stops with the signal that step-ca ends on", () => {
    assert.deepStrictEqual(named("USER"), ["root", "step"])
    assert.match(named("RUN").join(), /apk add --no-cache jq /)
    assert.deepStrictEqual(named("STOPSIGNAL"), ["SIGTERM"])
    assert.deepStrictEqual(named("ENV"), ["STEPPATH=/home/step"])
  })

  it("copies what is there, and all that init.sh reads", () => {
    for (const source of copies.flatMap(({ sources }) => sources)) statSync(join(infra, source))
    assert.deepStrictEqual(
      copies.flatMap(({ sources }) => sources),
      ["init.sh", "healthcheck.sh", "backup.sh", "restore.sh", "templates"]
    )
    assert.deepStrictEqual(readdirSync(join(infra, "templates")), ["federation.tpl", "gateway.tpl"])
  })

  it("has scripts that a POSIX shell reads, and that may be executed", () => {
    for (const name of readdirSync(infra).filter((file) => file.endsWith(".sh"))) {
      const path = join(infra, name)
      assert.match(readFileSync(path, "utf8"), /^#!\/bin\/sh\n/)
      assert.strictEqual(statSync(path).mode & 0o111, 0o111, name)
      assert.strictEqual(spawnSync("sh", ["-n", path]).status, 0, name)
    }
  })

  it.live("has an entry point that makes a healthy CA with the image's files and environment", () =>
    Effect.gen(function* () {
      const image = yield* temporary
      const { jq, step, stepCa } = yield* stepTools()
      for (const { sources, target } of copies) {
        for (const source of sources) {
          // Of a directory, COPY copies what is in it.
          const isDirectory = statSync(join(infra, source)).isDirectory()
          const to = isDirectory ? target : join(target, basename(source))
          cpSync(join(infra, source), join(image, to), { recursive: true })
        }
      }
      const [directory = ""] = entryPoint.map((path) => join(image, path, ".."))
      for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
        const path = join(directory, name)
        chmodSync(path, statSync(path).isDirectory() || name.endsWith(".sh") ? 0o755 : 0o444)
      }
      const bin = join(image, "usr", "local", "bin")
      mkdirSync(bin, { recursive: true })
      symlinkSync(stepCa.path, join(bin, "step-ca"))
      symlinkSync(step.path, join(bin, "step"))
      symlinkSync(jq.path, join(bin, "jq"))
      const stepPath = join(image, "home", "step")
      mkdirSync(stepPath, { recursive: true })
      const env = {
        PATH: [bin, process.env["PATH"] ?? ""].join(delimiter),
        HOME: stepPath,
        STEPPATH: stepPath,
        // What the official image sets beside; init.sh goes by STEPPATH.
        STEP: "/home/step",
        CONFIGPATH: "/home/step/config/ca.json",
        PWDPATH: "/home/step/secrets/password"
      }
      const execute = ([command = "", ...args]: ReadonlyArray<string>) =>
        spawnSync(join(image, command), args, { cwd: stepPath, env, encoding: "utf8" })

      const first = execute([...entryPoint, "init"])
      assert.strictEqual(first.status, 0, first.stderr)
      assert.include(first.stdout, "first boot: making the CA in")
      const config = JSON.parse(readFileSync(join(stepPath, "config", "ca.json"), "utf8")) as object
      assert.propertyVal(config, "address", `:${named("EXPOSE")[0]}`)

      // On a free port of 127.0.0.1, so that tests can run side by side.
      const ca = yield* StepCaProcess.make({ stepPath })
      assert.deepInclude(execute(healthCheck), { status: 0, stderr: "" })
      yield* ca.stop
      assert.notStrictEqual(execute(healthCheck).status, 0)
    })
  )
})
