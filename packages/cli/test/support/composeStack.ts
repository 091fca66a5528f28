/**
 * Stands in for `docker compose` where no container engine is: what a command asks for is resolved with the compose file
 * and done natively, on the servers that its images have. A command that the file has no answer for fails the test.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { parseEnv } from "node:util"
import { assert } from "@effect/vitest"
import { debianRoot } from "@mosaic-federation/testing/DebianRoot"
import { FederatedParts } from "@mosaic-federation/testing/FederatedParts"
import type { NativePostgres, NativeValkey } from "@mosaic-federation/testing/FederatedServer"
import { StepCaProcess, type StepCaShape } from "@mosaic-federation/testing/StepCaProcess"
import { stepTools } from "@mosaic-federation/testing/StepTools"
import { Effect, Exit, Redacted, Scope } from "effect"
import { parse } from "yaml"

const root = fileURLToPath(new URL("../../../../", import.meta.url))
const infra = join(root, "infra", "step-ca")

/** Where the image has our scripts, as infra/step-ca/Dockerfile copies them. */
const inImage = "/opt/mosaic-federation/"

interface Service {
  readonly volumes: ReadonlyArray<string>
  readonly profiles: ReadonlyArray<string>
  /** Null where its variable has no value, which there is an empty one. */
  readonly environment: Readonly<Record<string, string | null>>
}

/** The compose specification's interpolation, `${NAME:-default}`. */
const servicesOf = (file: string, variables: Readonly<Record<string, string | undefined>>) =>
  (
    parse(
      readFileSync(file, "utf8").replaceAll(
        /\$\{([A-Z_]+):-([^}]*)\}/g,
        (_, name: string, standard: string) =>
          (variables[name] ?? "") === "" ? standard : (variables[name] ?? "")
      ),
      { merge: true }
    ) as { readonly services: Readonly<Record<string, Service>> }
  ).services

/** What the caller's process is to run in its place; nothing where all is done. */
interface Native {
  readonly file: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
}

interface Asked {
  readonly argv: ReadonlyArray<string>
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** Its arguments go to the test, whose answer it runs with its own standard streams. */
const shim = (socket: string) => `#!${process.execPath}
const { spawnSync } = require("node:child_process")
const { connect } = require("node:net")
const socket = connect(${JSON.stringify(socket)})
socket.end(JSON.stringify({ argv: process.argv.slice(2), cwd: process.cwd(), env: process.env }) + "\\n")
let answer = ""
socket.on("data", (data) => (answer += data)).on("end", () => {
  const { failure, native } = JSON.parse(answer)
  if (failure) {
    console.error(failure)
    process.exit(125)
  }
  if (native) process.exit(spawnSync(native.file, native.args, { env: native.env, stdio: "inherit" }).status ?? 126)
})
`

/** The options of `up`, `run` and `exec` that mean nothing without containers, or what they mean anyway. */
const withoutMeaning = new Set(["-d", "-T", "--wait", "--rm", "--no-deps", "--build", "--ignore-buildable"])

interface ComposeStack {
  /** Empty volumes: another host. What ran before has ended. */
  readonly anew: Effect.Effect<void>
  /** The ports of the host, as the variables of the compose file have them. */
  readonly ports: () => Readonly<Record<string, string>>
  readonly parts: () => PartsNow
  readonly ca: () => StepCaShape
}

interface PartsNow {
  readonly postgres: NativePostgres
  readonly valkey: NativeValkey
}

/** Volumes and what runs on them. */
interface World {
  readonly scope: Scope.Closeable
  readonly stepPath: string
  readonly secrets: string
  parts: PartsNow | undefined
  ca: StepCaShape | undefined
}

/** Puts `docker` into `bin`, for as long as the scope; `home` takes the volumes. */
export const composeStack = Effect.fnUntraced(function* (bin: string, home: string) {
  const tools = yield* stepTools()
  const debian = yield* debianRoot
  const scope = yield* Effect.scope
  let count = 0

  const makeWorld = Effect.map(Scope.fork(scope), (own): World => {
    const volumes = join(home, `volumes-${++count}`)
    mkdirSync(volumes)
    return {
      scope: own,
      stepPath: join(volumes, "step-ca"),
      secrets: join(volumes, "gateway"),
      parts: undefined,
      ca: undefined
    }
  })
  let world = yield* makeWorld

  const caEnvironment = (service: Service) => ({
    ...Object.fromEntries(
      // Secrets that are not given are /dev/null there, and unset here.
      Object.entries(service.environment).filter(
        (entry): entry is [string, string] => entry[1] !== null && !entry[1].startsWith("/run/secrets/")
      )
    ),
    MOSAIC_GATEWAY_SECRETS_DIR: world.secrets
  })

  const up = Effect.fnUntraced(function* (
    name: string,
    service: Service,
    env: Asked["env"]
  ): Effect.fn.Return<void> {
    if (name === "step-ca") {
      world.ca ??= yield* StepCaProcess.make({ stepPath: world.stepPath, env: caEnvironment(service) }).pipe(
        Scope.provide(world.scope),
        Effect.orDie
      )
      return yield* Effect.orDie(world.ca.start)
    }
    // What the gateway's image starts is tried with infra/gateway; here the command stands beside it.
    if (name === "gateway") return
    world.parts ??= yield* FederatedParts.native({
      passwords: {
        postgres: Redacted.make(env["PG_FEDERATED_PASSWORD"] ?? "mosaic"),
        valkey: Redacted.make(env["VALKEY_FEDERATED_PASSWORD"] ?? "")
      }
    }).pipe(Scope.provide(world.scope), Effect.orDie)
  })

  const partsNow = () => {
    assert(world.parts !== undefined, "up was not called")
    return world.parts
  }

  const caNow = () => {
    assert(world.ca !== undefined, "up was not called")
    return world.ca
  }

  const inPostgres = (words: ReadonlyArray<string>): Native => {
    const { password, port } = partsNow().postgres
    return {
      file: "/usr/sbin/chroot",
      args: ["--userspec=postgres:postgres", debian, ...words],
      env: {
        PATH: "/usr/lib/postgresql/17/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        // In the image these are its own socket and its trust in it.
        PGHOST: "127.0.0.1",
        PGPORT: String(port),
        PGPASSWORD: Redacted.value(password)
      }
    }
  }

  /** A script of ours by the path at which the service has it, in the place of a shell that reads it there. */
  const inValkey = (service: Service, words: ReadonlyArray<string>): Native => {
    const { password, port } = partsNow().valkey
    const [shell, path = ""] = words
    const [source = ""] =
      service.volumes.map((volume) => volume.split(":")).find(([, target]) => target === path) ?? []
    assert.deepStrictEqual([shell, source.startsWith("./")], ["sh", true], `${path} is not mounted`)
    return {
      file: "/usr/sbin/chroot",
      args: ["--userspec=valkey:valkey", debian, "sh", "-c", readFileSync(join(root, source), "utf8")],
      env: {
        PATH: "/usr/bin:/bin",
        VALKEY_PORT: String(port),
        VALKEY_PASSWORD: Redacted.value(password)
      }
    }
  }

  const inCa = ([file = "", ...args]: ReadonlyArray<string>): Native => ({
    file: file === "step" ? tools.step.path : file,
    args: args.map((word) => word.replace(/^\/home\/step\//, `${world.stepPath}/`)),
    env: { PATH: process.env["PATH"] ?? "", HOME: home }
  })

  const beside = (service: Service, entryPoint: string, args: ReadonlyArray<string>): Native => {
    assert.isTrue(entryPoint.startsWith(inImage), entryPoint)
    const script = entryPoint.slice(inImage.length)
    assert.match(
      readFileSync(join(infra, "Dockerfile"), "utf8"),
      new RegExp(`^COPY .*\\b${script} .*${inImage}$`, "m")
    )
    return {
      file: "sh",
      args: [join(infra, script), ...args],
      env: {
        PATH: process.env["PATH"] ?? "",
        STEPPATH: world.stepPath,
        JQ_BIN: tools.jq.path,
        ...caEnvironment(service)
      }
    }
  }

  const answer = Effect.fnUntraced(function* ({
    argv,
    cwd,
    env: given
  }: Asked): Effect.fn.Return<Native | undefined> {
    const dotEnv = join(cwd, ".env")
    const env = {
      ...(existsSync(dotEnv) ? parseEnv(readFileSync(dotEnv, "utf8")) : {}),
      ...given
    } as Asked["env"]
    const [compose, ...rest] = argv
    assert.strictEqual(compose, "compose")
    let file = env["COMPOSE_FILE"]
    let profile = env["COMPOSE_PROFILES"]
    for (;;) {
      if (rest[0] === "-f") file = rest.splice(0, 2)[1]
      else if (rest[0] === "--profile") profile = rest.splice(0, 2)[1]
      else break
    }
    assert(file !== undefined, "no compose file")
    const services = servicesOf(join(cwd, file), env)
    const [verb = "", ...words] = rest
    const flags = new Map<string, string>()
    while (words[0]?.startsWith("-") === true) {
      const flag = words.shift() ?? ""
      if (flag === "--entrypoint") flags.set(flag, words.shift() ?? "")
      else assert.isTrue(withoutMeaning.has(flag), `${verb} ${flag}`)
    }
    const find = (name: string) => {
      const service = services[name]
      assert(service !== undefined, `no service ${name}`)
      return service
    }
    switch (verb) {
      case "up": {
        const inProfile = Object.keys(services).filter((name) =>
          services[name]?.profiles.includes(profile ?? "")
        )
        for (const name of words.length === 0 ? inProfile : words) yield* up(name, find(name), env)
        return undefined
      }
      case "stop":
      case "start": {
        assert.deepStrictEqual(words, ["step-ca"])
        yield* verb === "stop" ? caNow().stop : Effect.orDie(caNow().start)
        return undefined
      }
      case "cp": {
        const [from = "", to = ""] = words
        const [name = "", path] = from.split(":")
        assert.strictEqual(path, `${find(name).environment["MOSAIC_GATEWAY_SECRETS_DIR"] ?? ""}/.`)
        cpSync(world.secrets, join(cwd, to), { recursive: true })
        return undefined
      }
      case "exec": {
        const [name = "", ...command] = words
        const service = find(name)
        if (name === "step-ca") return inCa(command)
        return name === "valkey-federated" ? inValkey(service, command) : inPostgres(command)
      }
      case "pull":
        return undefined
      case "run": {
        const [name = "", ...args] = words
        assert.strictEqual(name, "step-ca")
        return beside(find(name), flags.get("--entrypoint") ?? "", args)
      }
      default:
        return assert.fail(`docker compose ${verb}`)
    }
  })

  const socket = join(home, "compose.sock")
  const run = Effect.runPromiseWith(yield* Effect.context())
  yield* Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer({ allowHalfOpen: true }, (client) => {
            void text(client)
              .then((asked) => run(answer(JSON.parse(asked) as Asked)))
              .then(
                (native) => client.end(JSON.stringify({ native })),
                (error: unknown) => client.end(JSON.stringify({ failure: String(error) }))
              )
          })
          server.listen(socket, () => resolve(server))
        })
    ),
    (server) => Effect.sync(() => server.close())
  )
  writeFileSync(join(bin, "docker"), shim(socket))
  chmodSync(join(bin, "docker"), 0o755)

  return {
    anew: Effect.gen(function* () {
      yield* Scope.close(world.scope, Exit.void)
      world = yield* makeWorld
    }),
    ports: () => ({
      PG_FEDERATED_HOST_PORT: String(partsNow().postgres.port),
      VALKEY_FEDERATED_HOST_PORT: String(partsNow().valkey.port),
      STEP_CA_HOST_PORT: String(caNow().port)
    }),
    parts: partsNow,
    ca: caNow
  } satisfies ComposeStack
})
