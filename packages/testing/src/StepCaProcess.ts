/**
 * A real step-ca on a loopback port, set up by `infra/step-ca/init.sh` as it runs natively, and ended with its scope. By
 * default its state is temporary and goes with it. What is asked of the CA is left to the callers.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { get } from "node:https"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Context, Effect, Exit, Layer, Schema, type Scope } from "effect"
import type { JWK } from "jose"
import { freePort, isFreePort } from "./freePort.ts"
import { pause } from "./internal/pause.ts"
import { runCommand } from "./internal/runCommand.ts"
import { supervise, type Supervised } from "./internal/supervised.ts"
import { publicHalf } from "./ProvisionerKeys.ts"
import { stepTools, type StepToolsMissing, type StepToolUnusable } from "./StepTools.ts"

export interface StepCaOptions {
  /** Directory of the CA's state, which is kept. Without it: a temporary one. */
  readonly stepPath?: string
  /** Default: the port it had before, else a free one. */
  readonly port?: number
  /** Name of the provisioner that signs grants; default `mosaic-fed`. */
  readonly provisioner?: string
  /** A private JWK of any accepted kind, in place of the P-256 key that the first boot would make. */
  readonly provisionerKey?: JWK
  /** Durations as init.sh reads them, such as `2s`, `1h30m`; default `5m`, `24h`, `24h`. */
  readonly lifetimes?: { readonly min: string; readonly default: string; readonly max: string }
  /** Text of a template in place of `templates/federation.tpl`. */
  readonly federationTemplate?: string
  /** Further variables for init.sh, such as `STEP_CA_DNS` or `MOSAIC_OID_ARC`. */
  readonly env?: Readonly<Record<string, string>>
}

export class StepCaFailed extends Schema.TaggedError<StepCaFailed>()("StepCaFailed", {
  doing: Schema.String,
  /** The last lines of what init.sh or step-ca wrote. */
  output: Schema.String,
  logPath: Schema.String
}) {
  override get message() {
    return `${this.doing} failed; its last words:\n${this.output}\nAll of them: ${this.logPath}`
  }
}

export type StepCaProcessError = StepCaFailed | StepToolUnusable | StepToolsMissing

/** Where a provisioner's private key lies, and what opens it. */
export interface ProvisionerFiles {
  readonly name: string
  readonly keyPath: string
  readonly passwordPath: string
}

/** What anybody who uses a CA needs to know of it. */
export interface StepCaFacts {
  /** `https://127.0.0.1:PORT` */
  readonly url: string
  readonly port: number
  readonly rootPath: string
  readonly rootPem: string
  readonly stepPath: string
  readonly templatePath: string
  readonly provisioner: ProvisionerFiles
  readonly gatewayProvisioner: ProvisionerFiles
  /** Everything that `IssuanceConfig` reads, to reach this CA, and that the gateway needs for its own certificate. */
  readonly environment: Readonly<Record<string, string>>
  /** step-ca's own log. It holds tokens: step-ca logs them. */
  readonly logPath: string
}

/** A ca.json, of which only what a test changes is of interest. */
export type CaConfig = Readonly<Record<string, unknown>>

/** A CA that its owner can stop and start. */
export interface StepCaShape extends StepCaFacts {
  /** What init.sh said when it set the CA up. */
  readonly setUpOutput: string
  /** Undefined while it is stopped. */
  readonly pid: () => number | undefined
  readonly log: Effect.Effect<string>
  /** Starts it again, on the same port, and waits until it answers. */
  readonly start: Effect.Effect<void, StepCaFailed>
  /** Ends it as an operator would, and waits until it has ended. */
  readonly stop: Effect.Effect<void>
  readonly kill9: Effect.Effect<void>
  /** Starts it again with its ca.json changed. */
  readonly reconfigure: (change: (config: CaConfig) => CaConfig) => Effect.Effect<void, StepCaFailed>
}

const infra = fileURLToPath(new URL("../../../infra/step-ca", import.meta.url))
const initScript = join(infra, "init.sh")

const provisionerName = "mosaic-fed"
const gatewayProvisionerName = "mosaic-gateway"

const portBefore = (stepPath: string): number | undefined => {
  const config = join(stepPath, "config", "ca.json")
  if (!existsSync(config)) return undefined
  const port = Number(/"address":\s*"[^"]*:(\d+)"/.exec(readFileSync(config, "utf8"))?.[1])
  return port > 0 ? port : undefined
}

type Answer = "ours" | "another's" | "none"

/** Whether a CA with this root answers on the port, somebody else, or nobody. */
const answer = (port: number, rootPem: string) =>
  Effect.callback<Answer>((resume) => {
    const request = get({
      host: "127.0.0.1",
      port,
      path: "/health",
      ca: rootPem,
      // The root alone tells whose it is; its names are a matter of the tests.
      checkServerIdentity: () => undefined,
      agent: false,
      timeout: 2_000
    })
    request.once("response", (response) => {
      response.resume()
      resume(Effect.succeed(response.statusCode === 200 ? "ours" : "none"))
    })
    request.once("timeout", () => resume(Effect.succeed("another's")))
    request.once("error", ({ code }: NodeJS.ErrnoException) => {
      const isSpeech = code !== undefined && /^(?:UNABLE_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|ERR_)/.test(code)
      resume(Effect.succeed(isSpeech ? "another's" : "none"))
    })
    return Effect.sync(() => request.destroy())
  })

const lastLines = (text: string) => text.trim().split("\n").slice(-12).join("\n")

const readLog = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : "")

const startTimeoutMillis = 120_000

/**
 * step-ca 0.30.2 neither ends nor says anything when it cannot listen: it stops between these two lines of its log,
 * which are a few milliseconds apart otherwise.
 */
const beforeListening = /X\.509 Root Fingerprint/
const listening = /Serving HTTPS/
const listenTimeoutMillis = 20_000

/** The part of the options that both sides must agree on. */
const settingsOf = ({ env, lifetimes, provisionerKey }: StepCaOptions): Record<string, string> => ({
  ...(lifetimes === undefined
    ? {}
    : {
        MOSAIC_CERT_MIN: lifetimes.min,
        MOSAIC_CERT_DEFAULT: lifetimes.default,
        MOSAIC_CERT_MAX: lifetimes.max
      }),
  ...(env?.["MOSAIC_OID_ARC"] === undefined ? {} : { MOSAIC_OID_ARC: env["MOSAIC_OID_ARC"] }),
  ...(provisionerKey?.kty === "oct" ? { STEP_CA_ALLOW_SYMMETRIC_KEY: "true" } : {})
})

/** Writes what init.sh is to read from files; returns the variables that name them. */
const writeInputs = (base: string, { federationTemplate, provisionerKey }: StepCaOptions) => {
  const env: Record<string, string> = {}
  if (federationTemplate !== undefined) {
    const directory = join(base, "template-sources")
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, "federation.tpl"), federationTemplate)
    copyFileSync(join(infra, "templates", "gateway.tpl"), join(directory, "gateway.tpl"))
    env["MOSAIC_TEMPLATE_DIR"] = directory
  }
  if (provisionerKey !== undefined) {
    const secret = { mode: 0o600 }
    const shown = provisionerKey.kty === "oct" ? provisionerKey : publicHalf(provisionerKey)
    const publicPath = join(base, "provisioner.pub.json")
    writeFileSync(publicPath, JSON.stringify(shown), secret)
    writeFileSync(join(base, "provisioner.json"), JSON.stringify(provisionerKey), secret)
    writeFileSync(join(base, "provisioner.password"), "unused: the key is a plain JWK", secret)
    env["MOSAIC_PROVISIONER_JWK_FILE"] = publicPath
  }
  return env
}

const logIn = (base: string) => join(base, "step-ca.log")

const factsOf = (options: StepCaOptions, base: string, stepPath: string, port: number): StepCaFacts => {
  const url = `https://127.0.0.1:${port}`
  const name = options.provisioner ?? provisionerName
  const rootPath = join(stepPath, "certs", "root_ca.crt")
  const secrets = join(stepPath, "gateway")
  const passwordPath =
    options.env?.["STEP_CA_PROVISIONER_PASSWORD_FILE"] ?? join(secrets, "provisioner_password")
  const provisioner =
    options.provisionerKey === undefined
      ? { name, keyPath: join(secrets, "provisioner_key.jwe"), passwordPath }
      : { name, keyPath: join(base, "provisioner.json"), passwordPath: join(base, "provisioner.password") }
  const gatewayProvisioner = {
    name: gatewayProvisionerName,
    keyPath: join(secrets, "gateway_provisioner_key.jwe"),
    passwordPath: join(secrets, "gateway_provisioner_password")
  }
  return {
    url,
    port,
    rootPath,
    rootPem: readFileSync(rootPath, "utf8"),
    stepPath,
    templatePath: join(stepPath, "templates", "federation.tpl"),
    provisioner,
    gatewayProvisioner,
    environment: {
      STEP_CA_URL: url,
      STEP_CA_ROOT_CERT_PATH: rootPath,
      STEP_CA_PROVISIONER: name,
      STEP_CA_PROVISIONER_KEY_JSON_FILE: provisioner.keyPath,
      STEP_CA_PROVISIONER_PASSWORD_FILE: provisioner.passwordPath,
      MOSAIC_GATEWAY_PROVISIONER_KEY_JSON_FILE: gatewayProvisioner.keyPath,
      MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE: gatewayProvisioner.passwordPath,
      ...settingsOf(options)
    },
    logPath: logIn(base)
  }
}

interface Home {
  /** Holds the CA's state and what belongs to this run. */
  readonly base: string
  readonly stepPath: string
  keep: boolean
}

const acquireHome = (options: StepCaOptions) =>
  Effect.acquireRelease(
    Effect.sync((): Home => {
      if (options.stepPath !== undefined) {
        mkdirSync(options.stepPath, { recursive: true, mode: 0o700 })
        return { base: options.stepPath, stepPath: options.stepPath, keep: true }
      }
      const base = mkdtempSync(join(tmpdir(), "mosaic-step-ca-"))
      return { base, stepPath: join(base, "step"), keep: false }
    }),
    (home, exit) => {
      if (options.stepPath !== undefined) return Effect.void
      if (home.keep || Exit.isFailure(exit)) return Effect.logWarning(`kept for a look: ${home.base}`)
      return Effect.sync(() => rmSync(home.base, { recursive: true, force: true }))
    }
  )

/** Finds or builds step-ca, sets up its state and starts it; ready when this returns. */
const make = Effect.fn("StepCaProcess.make")(function* (
  options: StepCaOptions = {}
): Effect.fn.Return<StepCaShape, StepCaProcessError, Scope.Scope> {
  const tools = yield* stepTools()
  const home = yield* acquireHome(options)
  const { base, stepPath } = home
  const logPath = logIn(base)
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: base,
    STEPPATH: stepPath,
    STEP_CA_BIN: tools.stepCa.path,
    STEP_BIN: tools.step.path,
    JQ_BIN: tools.jq.path,
    STEP_CA_PROVISIONER: options.provisioner ?? provisionerName,
    ...settingsOf(options),
    ...writeInputs(base, options),
    ...options.env
  }

  const failed = (doing: string, output: string, path: string) => {
    home.keep = true
    return new StepCaFailed({ doing, output: lastLines(output), logPath: path })
  }

  const setUp = Effect.fnUntraced(function* (port: number) {
    const ended = yield* runCommand({
      file: "sh",
      args: [initScript, "init"],
      cwd: base,
      env: { ...env, STEP_CA_ADDRESS: `127.0.0.1:${port}` }
    })
    const output = ended.stdout + ended.stderr
    if (ended.code === 0) return output
    const path = join(base, "init.log")
    writeFileSync(path, output)
    return yield* failed(`${initScript} init`, output, path)
  })

  let server: Supervised | undefined

  /** The port was free a moment ago at best; where it is not, that shows here. */
  const boot = Effect.fnUntraced(function* (port: number) {
    if (!(yield* isFreePort(port))) return "port taken"
    const seen = readLog(logPath).length
    const started = yield* supervise({ file: "sh", args: [initScript, "start"], cwd: base, env, logPath })
    server = started
    const rootPem = readFileSync(join(stepPath, "certs", "root_ca.crt"), "utf8")
    const deadline = Date.now() + startTimeoutMillis
    let listenBy = deadline
    while (started.isRunning() && Date.now() < deadline) {
      const heard = yield* answer(port, rootPem)
      if (heard === "ours") return "ready"
      const said = readLog(logPath).slice(seen)
      if (listenBy === deadline && beforeListening.test(said)) listenBy = Date.now() + listenTimeoutMillis
      if ((heard === "another's" || Date.now() > listenBy) && !listening.test(said)) {
        yield* started.end("SIGKILL")
        return "port taken"
      }
      yield* pause(10)
    }
    yield* started.end("SIGKILL")
    return yield* failed("step-ca", readLog(logPath).slice(seen), logPath)
  })

  const end = (signal: "SIGTERM" | "SIGKILL") =>
    Effect.suspend(() => server?.end(signal) ?? Effect.void).pipe(Effect.uninterruptible)

  yield* Effect.addFinalizer(() => end("SIGTERM"))

  const portTaken = (port: number) =>
    failed("step-ca", `port ${port} of 127.0.0.1 is taken by another program`, logPath)

  const open = Effect.fnUntraced(function* (firstPort: number) {
    const attempts = options.port === undefined ? 5 : 1
    let port = firstPort
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const setUpOutput = yield* setUp(port)
      if ((yield* boot(port)) === "ready") return { port, setUpOutput }
      if (attempt < attempts) port = yield* freePort
    }
    return yield* portTaken(port)
  })

  const { port, setUpOutput } = yield* open(options.port ?? portBefore(stepPath) ?? (yield* freePort))
  home.keep = options.stepPath !== undefined

  const start = Effect.suspend(() =>
    server?.isRunning() === true
      ? Effect.void
      : Effect.flatMap(boot(port), (booted) => (booted === "ready" ? Effect.void : portTaken(port)))
  )

  return {
    ...factsOf(options, base, stepPath, port),
    setUpOutput,
    pid: () => (server?.isRunning() === true ? server.pid : undefined),
    log: Effect.sync(() => readLog(logPath)),
    start,
    stop: end("SIGTERM"),
    kill9: end("SIGKILL"),
    reconfigure: Effect.fnUntraced(function* (change: (config: CaConfig) => CaConfig) {
      yield* end("SIGTERM")
      const path = join(stepPath, "config", "ca.json")
      const config = JSON.parse(readFileSync(path, "utf8")) as CaConfig
      writeFileSync(path, JSON.stringify(change(config)), { mode: 0o600 })
      yield* start
    })
  }
})

/** The CA of a kept state that another process already runs. */
const findRunning = Effect.fn("StepCaProcess.findRunning")(function* (stepPath: string) {
  const port = portBefore(stepPath)
  if (port === undefined) return undefined
  const facts = factsOf({}, stepPath, stepPath, port)
  return (yield* answer(port, facts.rootPem)) === "ours" ? facts : undefined
})

export class StepCaProcess extends Context.Service<StepCaProcess, StepCaShape>()(
  "@mosaic-federation/testing/StepCaProcess"
) {
  static readonly make = make
  static readonly findRunning = findRunning
  static readonly layer = (options: StepCaOptions = {}) => Layer.effect(StepCaProcess, make(options))
}
