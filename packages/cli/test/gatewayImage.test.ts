/**
 * infra/gateway/Dockerfile and the compose service of it, as far as they can be tried without a container engine: the files
 * of the image, put where they are copied to, are run with the environment of the compose file, on the image's user, by its
 * own entry point and health check, on PostgreSQL 17, Valkey 8 and step-ca.
 */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, delimiter, join } from "node:path"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { execForm, readDockerfile } from "@mosaic-federation/testing/Dockerfile"
import { federated } from "@mosaic-federation/testing/federated"
import { FederatedParts } from "@mosaic-federation/testing/FederatedParts"
import { StepCaProcess, type StepCaShape } from "@mosaic-federation/testing/StepCaProcess"
import { makeRoot } from "@mosaic-federation/testing/TestPki"
import { Effect, Redacted } from "effect"
import { parse } from "yaml"

const root = fileURLToPath(new URL("../../../", import.meta.url))
const infra = join(root, "infra", "gateway")
const dockerfile = readDockerfile(join(infra, "Dockerfile"))

/** Of node, in the image. */
const uid = 1000
const isRoot = process.getuid?.() === 0
const asUser = isRoot ? { uid, gid: uid } : {}

const temporary = Effect.acquireRelease(
  Effect.sync(() => {
    const directory = mkdtempSync(join(tmpdir(), "mosaic-image-"))
    chmodSync(directory, 0o755)
    return directory
  }),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** Like a root file system of the image: nothing in it can be written but by root. */
const makeImage = Effect.map(temporary, (image) => {
  for (const { flags, sources, target } of dockerfile.copies.filter((copy) => copy.flags.length > 0)) {
    assert.include(flags, "--from=build")
    for (const source of sources) {
      const from = join(root, source.replace(/^\/src\//, ""))
      // Of a directory, COPY copies what is in it.
      const to = join(image, target, statSync(from).isDirectory() ? "" : basename(source))
      cpSync(from, to, { recursive: true })
      if (flags.includes("--chmod=0555")) chmodSync(to, 0o555)
    }
  }
  const bin = join(image, "usr", "local", "bin")
  mkdirSync(bin, { recursive: true })
  cpSync(process.execPath, join(bin, "node"))
  for (const name of readdirSync(image, { recursive: true, encoding: "utf8" })) {
    const path = join(image, name)
    const stat = statSync(path)
    chmodSync(path, stat.isDirectory() ? 0o555 : stat.mode & 0o555 & ~0o222)
  }
  return { image, bin }
})

interface Service {
  /** As YAML reads what compose takes for text; null for an empty one. */
  readonly environment: Readonly<Record<string, string | number | null>>
  readonly healthcheck: { readonly test: ReadonlyArray<string> }
}

interface Migrate extends Service {
  readonly entrypoint: ReadonlyArray<string>
}

/** The compose specification's interpolation: `${NAME:-default}`. */
const composeServices = (variables: Readonly<Record<string, string>>) => {
  const compose = readFileSync(join(root, "docker-compose.federated.yml"), "utf8").replaceAll(
    /\$\{([A-Z_]+):-([^}]*)\}/g,
    (_, name: string, standard: string) => variables[name] ?? standard
  )
  const { services } = parse(compose, { merge: true }) as {
    readonly services: { readonly gateway: Service; readonly migrate: Migrate }
  }
  return services
}

/** `ENV`. */
const imageEnvironment = Object.fromEntries(
  dockerfile.named("ENV").flatMap((rest) => rest.split(" ").map((one) => one.split("=") as [string, string]))
)

const ended = async (child: ReturnType<typeof spawn>) => {
  assert(child.stdout !== null && child.stderr !== null)
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit") as Promise<[number | null]>
  ])
  return { code, output: `${stdout}${stderr}`.trim() }
}

/** The secrets that the CA hands over, as the volume has them: the user's, and nobody else's. */
const gatewayVolume = Effect.fnUntraced(function* (ca: StepCaShape) {
  const directory = join(yield* temporary, "gateway")
  cpSync(join(ca.stepPath, "gateway"), directory, { recursive: true })
  if (isRoot) {
    for (const name of ["", ...readdirSync(directory)]) chownSync(join(directory, name), uid, uid)
  }
  return directory
})

/** The service as compose would run it; `mosaic` with other arguments and the health check beside. */
const makeService = Effect.gen(function* () {
  const ca = yield* StepCaProcess.make()
  const { postgres, valkey } = yield* FederatedParts.make()
  const { bin, image } = yield* makeImage
  const volume = yield* gatewayVolume(ca)
  const scratch = join(yield* temporary, "tmp")
  mkdirSync(scratch, { mode: 0o777 })
  chmodSync(scratch, 0o777)
  const { gateway, migrate } = composeServices({
    PG_FEDERATED_PASSWORD: Redacted.value(postgres.password),
    VALKEY_FEDERATED_PASSWORD: Redacted.value(valkey.password)
  })
  const here = (value: string) =>
    value
      .replace("postgres-federated:5432", `${postgres.host}:${postgres.port}`)
      .replace("valkey-federated:6379", `${valkey.host}:${valkey.port}`)
      .replace("https://step-ca:9000", ca.url)
      .replace(/^\/(?:tmp|state)\//, `${scratch}/`)
      .replace(/^\/gateway\//, `${volume}/`)
      // None of them is given.
      .replace(/^\/run\/secrets\/.*/, "/dev/null")
  const environmentOf = ({ environment }: Service): Readonly<Record<string, string>> => ({
    ...Object.fromEntries(
      Object.entries({ ...imageEnvironment, ...environment }).map(([name, value]) => [
        name,
        here(String(value ?? ""))
      ])
    ),
    HOME: join(image, "home"),
    PATH: [bin, "/usr/bin", "/bin"].join(delimiter),
    MOSAIC_LISTEN: "127.0.0.1:0"
  })
  const run = (words: ReadonlyArray<string>, extra: Readonly<Record<string, string>> = {}) => {
    const [command = "", ...args] = words
    const inImage = (word: string) => (word.startsWith("/opt/") ? join(image, word) : word)
    return spawn(inImage(command), args.map(inImage), {
      cwd: join(image, dockerfile.named("WORKDIR").at(-1) ?? ""),
      env: { ...environmentOf(gateway), ...extra },
      stdio: ["ignore", "pipe", "pipe"],
      ...asUser
    })
  }
  const serve = Effect.acquireRelease(
    Effect.promise(async () => {
      const child = run([...dockerfile.entryPoint, ...execForm(dockerfile.named("CMD")[0])])
      const log: Array<string> = []
      createInterface({ input: child.stderr }).on("line", (line) => log.push(line))
      const exited = once(child, "exit") as Promise<[number | null]>
      const port = await Promise.race([
        new Promise<string>((resolve) =>
          createInterface({ input: child.stdout }).on("line", (line) => {
            const found = /listens at https:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1]
            if (found !== undefined) resolve(found)
          })
        ),
        exited.then(([code]) => Promise.reject(new Error(`ended with ${String(code)}\n${log.join("\n")}`)))
      ])
      return {
        pid: child.pid ?? 0,
        health: (extra: Readonly<Record<string, string>> = {}) =>
          Effect.promise(() =>
            ended(run(dockerfile.healthCheck, { MOSAIC_LISTEN: `127.0.0.1:${port}`, ...extra }))
          ),
        end: (signal: NodeJS.Signals) =>
          Effect.promise(async () => {
            child.kill(signal)
            return (await exited)[0]
          })
      }
    }),
    ({ end }) => end("SIGKILL")
  )
  return {
    ca,
    postgres,
    valkey,
    image,
    serve,
    /** As its service does it. */
    migrate: Effect.promise(() => {
      const [shell = "", ...args] = migrate.entrypoint
      // A dollar sign is two in a compose file.
      const words = args.map((word) => word.replaceAll("$$", "$").replace("/opt/", `${image}/opt/`))
      return ended(
        spawn(shell, words, { env: environmentOf(migrate), stdio: ["ignore", "pipe", "pipe"], ...asUser })
      )
    }),
    mosaic: (...args: ReadonlyArray<string>) =>
      Effect.promise(() => ended(run([...dockerfile.entryPoint, ...args])))
  }
})

type Health = { readonly code: number | null; readonly output: string }

/** As soon as it is so: the test's own time-out is the bound. */
const until = (look: Effect.Effect<Health>, isSo: (found: Health) => boolean) =>
  Effect.repeat(Effect.delay(look, "100 millis"), { until: isSo })

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly packageManager: string
  readonly devDependencies: { readonly node: string }
}

describe("infra/gateway/Dockerfile", () => {
  it("stands on the Node and the pnpm that the project pins", () => {
    const image = `node:${manifest.devDependencies.node}-bookworm-slim`
    assert.deepStrictEqual(
      dockerfile.named("FROM").map((one) => one.replace(/@sha256:[0-9a-f]{64}/, "")),
      [`${image} AS build`, image]
    )
    assert.include(dockerfile.named("RUN"), `npm install --global ${manifest.packageManager}`)
  })

  it("runs as the user who may read what the CA hands over, and ends on SIGTERM", () => {
    assert.deepStrictEqual(dockerfile.named("USER"), ["node"])
    assert.deepStrictEqual(dockerfile.named("STOPSIGNAL"), ["SIGTERM"])
    assert.deepStrictEqual(composeServices({}).gateway.healthcheck.test, ["CMD", ...dockerfile.healthCheck])
  })

  it("has all that the bundle is made of in its context, and no packages of the host", () => {
    const ignored = readFileSync(join(infra, "Dockerfile.dockerignore"), "utf8").split("\n")
    assert.strictEqual(ignored[1], "*")
    for (const line of ignored.filter((one) => one.startsWith("!"))) {
      assert.isTrue(existsSync(join(root, line.slice(1))), line)
    }
    assert.include(ignored, "**/node_modules")
  })
})

describe("infra/gateway/start.sh", () => {
  /** The environment in which `mosaic` is started, and its arguments. */
  const started = (env: Readonly<Record<string, string>>) => {
    const bin = mkdtempSync(join(tmpdir(), "mosaic-start-"))
    writeFileSync(join(bin, "node"), '#!/bin/sh\nshift\necho "args=$*"\nenv\n', { mode: 0o755 })
    const { status, stderr, stdout } = spawnSync("sh", [join(infra, "start.sh"), "db", "status"], {
      env: { PATH: [bin, process.env["PATH"] ?? ""].join(delimiter), ...env },
      encoding: "utf8"
    })
    rmSync(bin, { recursive: true })
    assert.strictEqual(status, 0, stderr)
    return Object.fromEntries(stdout.split("\n").map((line) => line.split(/=(.*)/s, 2) as [string, string]))
  }

  const keys = {
    STEP_CA_PROVISIONER_KEY_JSON_FILE: "/gateway/provisioner_key.jwe",
    MOSAIC_GATEWAY_PROVISIONER_KEY_JSON_FILE: "/gateway/gateway_provisioner_key.jwe"
  }

  it("takes the passwords that the CA generated where none is given, and the given ones where they are", () => {
    const none = started({
      ...keys,
      STEP_CA_PROVISIONER_PASSWORD_FILE: "/dev/null",
      MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE: "/dev/null"
    })
    assert.strictEqual(none["args"], "db status")
    assert.strictEqual(none["STEP_CA_PROVISIONER_PASSWORD_FILE"], "/gateway/provisioner_password")
    assert.strictEqual(
      none["MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE"],
      "/gateway/gateway_provisioner_password"
    )
    const given = started({ ...keys, STEP_CA_PROVISIONER_PASSWORD_FILE: "/run/secrets/one" })
    assert.strictEqual(given["STEP_CA_PROVISIONER_PASSWORD_FILE"], "/run/secrets/one")
  })

  it("takes a URL from its secret before that from the environment", () => {
    const url = "postgresql://mosaic:mosaic@postgres-federated:5432/mosaic"
    const none = started({ DATABASE_URL: url, DATABASE_URL_FILE: "/dev/null" })
    assert.deepStrictEqual([none["DATABASE_URL"], none["DATABASE_URL_FILE"]], [url, undefined])
    const given = started({ DATABASE_URL: url, DATABASE_URL_FILE: "/run/secrets/database_url" })
    assert.deepStrictEqual(
      [given["DATABASE_URL"], given["DATABASE_URL_FILE"]],
      [undefined, "/run/secrets/database_url"]
    )
  })

  it("names the port that is published", () => {
    const publicUrl = (env: Readonly<Record<string, string>>) => started(env)["MOSAIC_PUBLIC_URL"]
    assert.strictEqual(publicUrl({ MOSAIC_GATEWAY_HOST_PORT: "18443" }), "https://localhost:18443")
    assert.strictEqual(
      publicUrl({ MOSAIC_GATEWAY_HOST_PORT: "8443", MOSAIC_GATEWAY_NAMES: "gateway.example,localhost" }),
      "https://gateway.example:8443"
    )
    assert.strictEqual(
      publicUrl({ MOSAIC_GATEWAY_HOST_PORT: "8443", MOSAIC_GATEWAY_NAMES: "::1" }),
      "https://[::1]:8443"
    )
    const set = { MOSAIC_GATEWAY_HOST_PORT: "8443", MOSAIC_PUBLIC_URL: "https://gateway.example" }
    assert.strictEqual(publicUrl(set), "https://gateway.example")
    assert.isUndefined(publicUrl({}))
  })
})

federated("docker-compose.federated.yml, gateway", () => {
  it.live(
    "serves from read-only files, and is healthy exactly when it can do its work",
    () =>
      Effect.gen(function* () {
        const { ca, image, migrate, mosaic, postgres, serve, valkey } = yield* makeService
        const migrated = yield* migrate
        assert.strictEqual(migrated.code, 0, migrated.output)
        assert.include(migrated.output, "The role mosaic_app may log in, with its new password")
        const gateway = yield* serve
        assert.deepStrictEqual(yield* gateway.health(), { code: 0, output: "" })
        const line = readFileSync(`/proc/${gateway.pid}/cmdline`, "utf8").split("\0").filter(Boolean)
        assert.deepStrictEqual(line.slice(1), [`${image}/opt/mosaic/bin/mosaic.mjs`, "gateway", "serve"])
        for (const args of [
          ["db", "status", "--check"],
          ["gateway", "key", "create", "--name", "first", "--scope", "admin"]
        ]) {
          const { code, output } = yield* mosaic(...args)
          assert.strictEqual(code, 0, output)
        }

        const health = gateway.health()
        const isHealthy = until(health, (found) => found.code === 0)
        const unhealthy = (why: string) =>
          Effect.map(
            until(health, (found) => found.code !== 0),
            (found) => {
              assert.strictEqual(found.code, 1)
              assert.include(found.output, why)
            }
          )
        yield* ca.stop
        yield* unhealthy("CA_CONNECTION_REFUSED")
        yield* Effect.orDie(ca.start)
        yield* isHealthy
        yield* postgres.stop
        yield* unhealthy("STORAGE_UNAVAILABLE")
        yield* postgres.start
        yield* isHealthy
        yield* valkey.stop
        yield* until(health, ({ output: said }) => said === "")
        assert.strictEqual((yield* health).code, 0)

        const otherRoot = join(yield* temporary, "other.crt")
        writeFileSync(otherRoot, (yield* makeRoot("another root")).pem)
        const wrongRoot = yield* gateway.health({ STEP_CA_ROOT_CERT_PATH: otherRoot })
        assert.strictEqual(wrongRoot.code, 1)
        assert.match(wrongRoot.output, /self-signed certificate|unable to/)
        const wrongName = yield* gateway.health({ MOSAIC_GATEWAY_NAMES: "gateway.example" })
        assert.strictEqual(wrongName.code, 1)
        assert.include(wrongName.output, "does not match certificate's altnames")
        process.kill(gateway.pid, "SIGSTOP")
        yield* unhealthy("no answer within 4 s")
        process.kill(gateway.pid, "SIGCONT")

        assert.strictEqual(yield* gateway.end("SIGTERM"), 0)
        yield* unhealthy("ECONNREFUSED")
      }),
    180_000
  )
})
