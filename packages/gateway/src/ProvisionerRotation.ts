/**
 * Puts a new key in the place of the one by which certificates are authorised at the CA, while certificates go on being
 * issued. step-ca knows a provisioner by its name and has one key for each, so the new key begins under a name of its own
 * beside the old one, is proved by a signing, taken over by the gateways, and takes the old one's place once no token of it
 * can be on its way. docs/federation/rotation.md has the phases. Each can be done twice, so a crash at any step costs a
 * repetition: whoever calls this again goes on where the record says.
 */
import { spawn } from "node:child_process"
import { generateKeyPair, randomBytes, randomUUID } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { promisify } from "node:util"
import { CertificateWithheld } from "@mosaic-federation/domain/CertificateErrors"
import { InputUnreadable, type OutputUnwritable, UsageInvalid } from "@mosaic-federation/domain/CommandErrors"
import { ConfigInvalid, ConfigMissing } from "@mosaic-federation/domain/ConfigurationErrors"
import { GrantId } from "@mosaic-federation/domain/GrantId"
import {
  CaConfigUnusable,
  RotationReloadFailed,
  RotationStateUnusable,
  type RotationUnderWay
} from "@mosaic-federation/domain/RotationErrors"
import { UserId } from "@mosaic-federation/domain/UserId"
import { readCsr } from "@mosaic-federation/issuance/Csr"
import { backdate } from "@mosaic-federation/issuance/GrantPolicy"
import {
  IssuanceConfig,
  type IssuanceConfigError,
  type IssuanceSettings
} from "@mosaic-federation/issuance/IssuanceConfig"
import { PinnedHttpClient } from "@mosaic-federation/issuance/PinnedHttpClient"
import { type ProvisionerKey, readProvisionerKey } from "@mosaic-federation/issuance/ProvisionerKey"
import { listProvisioners } from "@mosaic-federation/issuance/Provisioners"
import { randomSerial } from "@mosaic-federation/issuance/randomSerial"
import { optionalSetting, requiredSetting } from "@mosaic-federation/issuance/Setting"
import { type SignError, StepCa } from "@mosaic-federation/issuance/StepCa"
import { leewaySeconds, TokenDiagnosis } from "@mosaic-federation/issuance/TokenDiagnosis"
import { randomJti, tokenLifetime, TokenSigner } from "@mosaic-federation/issuance/TokenSigner"
import * as CertificateConformance from "@mosaic-federation/x509/CertificateConformance"
import {
  DateTime,
  Duration,
  Effect,
  type FileSystem,
  Layer,
  Option,
  Redacted,
  Result,
  type Scope
} from "effect"
import { calculateJwkThumbprint, CompactEncrypt, type JWK } from "jose"
import { type CaProvisioner, changeProvisioners, named, readProvisioners } from "./rotation/CaConfigFile.ts"
import { replaceFile } from "./rotation/replaceFile.ts"
import {
  forgetKey,
  isOver,
  keyPath,
  lockOf,
  type Phase,
  phaseOf,
  phases,
  readState,
  type RotationState,
  writeState
} from "./rotation/RotationState.ts"
import { emptyCsr } from "./emptyCsr.ts"

export interface RotationPlace {
  /** Of the CA; its provisioners are changed. */
  readonly caConfig: string
  /** Where the rotation's record and, while it lasts, both keys are kept. */
  readonly stateDirectory: string
}

export interface RotationOptions extends RotationPlace {
  /** Further copies of the key file, beside the one of the setting and the CA's own. */
  readonly keyFiles: ReadonlyArray<string>
  /** Shell commands that have step-ca and the gateways read their files again. */
  readonly reloadCa: string
  readonly reloadGateway: string
  /** How long to wait for tokens of a key that is no longer used. */
  readonly drain: Duration.Duration
  /** Called with each phase that is over. */
  readonly tell: (state: RotationState) => Effect.Effect<void>
}

export type ProvisionerRotationError =
  | IssuanceConfigError
  | UsageInvalid
  | InputUnreadable
  | CaConfigUnusable
  | RotationStateUnusable
  | RotationUnderWay
  | RotationReloadFailed
  | OutputUnwritable
  | CertificateWithheld
  | SignError

/** A token that was made at the last moment before a switch is dead after this, by the CA's clock and its leeway. */
export const standardDrain = Duration.seconds(tokenLifetime + leewaySeconds + 1)

/** The name under which the new key begins. */
const nameBeside = (provisioner: string) => `${provisioner}-next`

/** OWASP's count for PBKDF2 with SHA-256; `readProvisionerKey` takes up to a million. */
const iterations = 600_000

const generate = promisify(generateKeyPair)

interface Keys {
  readonly old: ProvisionerKey
  readonly next: ProvisionerKey
  /** The public half of the new key, as the CA shows it. */
  readonly nextPublic: JWK
  readonly nextJwe: string
}

interface Rotation extends Keys {
  readonly settings: IssuanceSettings
  readonly options: RotationOptions
  readonly state: RotationState
}

const password = requiredSetting(
  "STEP_CA_PROVISIONER_PASSWORD",
  "the password of the provisioner key (any text when the key is a plain JWK)"
)

const openKey = Effect.fnUntraced(function* (text: string) {
  return yield* readProvisionerKey({
    text: Redacted.make(text),
    password: Redacted.make(yield* password),
    kid: Option.none(),
    allowSymmetric: true
  })
})

const makeKey = Effect.gen(function* () {
  const { privateKey } = yield* Effect.promise(() => generate("ec", { namedCurve: "P-256" }))
  const jwk = privateKey.export({ format: "jwk" }) as JWK
  const kid = yield* Effect.promise(() => calculateJwkThumbprint(jwk, "sha256"))
  const secret = yield* password
  const plaintext = new TextEncoder().encode(JSON.stringify({ ...jwk, alg: "ES256", use: "sig", kid }))
  const jwe = yield* Effect.promise(() =>
    new CompactEncrypt(plaintext)
      .setProtectedHeader({ alg: "PBES2-HS256+A128KW", enc: "A256GCM", cty: "jwk+json", kid })
      .setKeyManagementParameters({ p2c: iterations, p2s: randomBytes(16) })
      .encrypt(new TextEncoder().encode(secret))
  )
  return { kid, jwe }
})

const publicJwkOf = ({ kid, publicKey }: ProvisionerKey): JWK => ({
  use: "sig",
  kid,
  alg: "ES256",
  ...(Redacted.value(publicKey).export({ format: "jwk" }) as JWK)
})

// --- what is asked of the CA ----------------------------------------------------------

/** The kid of each provisioner that the CA shows; nothing where it cannot be asked now. */
const shownKids = Effect.fnUntraced(
  function* (settings: IssuanceSettings) {
    const http = yield* PinnedHttpClient.make({
      baseUrl: settings.caUrl,
      rootsPem: settings.roots.map(({ pem }) => pem)
    })
    const provisioners = yield* listProvisioners(http, settings.caUrl)
    return Option.some<ReadonlyMap<string, string>>(
      new Map(provisioners.map(({ key, name }) => [name, key?.kid ?? "none"]))
    )
  },
  Effect.scoped,
  Effect.orElseSucceed(Option.none<ReadonlyMap<string, string>>)
)

const caOf = (settings: IssuanceSettings) =>
  StepCa.layerNoDeps.pipe(
    Layer.provide(TokenDiagnosis.layerNoDeps),
    Layer.provide([PinnedHttpClient.layerNoDeps, TokenSigner.layerNoDeps]),
    Layer.provide(IssuanceConfig.layerOf(settings))
  )

/**
 * Has the CA sign one certificate for a grant that does not exist, of the shortest life, and compares it as every other.
 * Its key is forgotten, its serial revoked at once, and nobody is shown either.
 */
const sign = Effect.fn("ProvisionerRotation.sign")(
  function* (settings: IssuanceSettings): Effect.fn.Return<void, CertificateWithheld | SignError, StepCa> {
    const ca = yield* StepCa
    const pair = yield* Effect.promise(() => generate("ec", { namedCurve: "P-256" }))
    const csrPem = emptyCsr(pair)
    const csr = Result.getOrThrow(readCsr(csrPem))
    const grantId = GrantId.make(randomUUID())
    const subjectUserId = UserId.make(randomUUID())
    const serial = randomSerial()
    const requestedAt = DateTime.makeUnsafe(
      Math.floor(DateTime.toEpochMillis(yield* DateTime.now) / 1000) * 1000
    )
    const notAfter = DateTime.addDuration(requestedAt, settings.lifetimes.shortest)
    const signed = yield* ca.sign({
      claims: { grantId, subjectUserId, serial, csrSha256: csr.sha256Hex },
      jti: randomJti(),
      csrPem,
      notBefore: DateTime.subtractDuration(requestedAt, backdate),
      notAfter
    })
    const checked = CertificateConformance.check(
      { leaf: signed.leafPem, chain: signed.chainPem },
      {
        grantId,
        subjectUserId,
        csrSpki: csr.publicKeySpki,
        serial,
        notAfter: DateTime.toDateUtc(notAfter),
        grantExpiresAt: DateTime.toDateUtc(notAfter),
        maxLifetimeMillis: Duration.toMillis(settings.lifetimes.longest),
        requestedAt: DateTime.toDateUtc(requestedAt),
        backdateMillis: Duration.toMillis(backdate),
        skewMillis: Duration.toMillis(Duration.minutes(1)),
        now: DateTime.toDateUtc(yield* DateTime.now),
        roots: settings.roots,
        oids: settings.oids
      }
    )
    yield* ca.revoke(serial, "a proof of a provisioner's key")
    if (Result.isFailure(checked)) {
      return yield* new CertificateWithheld({
        grantId,
        serial,
        mismatches: checked.failure,
        revokedAtCa: true
      })
    }
  },
  (effect, settings) => Effect.provide(effect, caOf(settings))
)

/** The old key is to be refused because the CA no longer knows it, and for no other reason. */
const refusesOld = Effect.fnUntraced(function* ({ old, settings, state: { provisioner } }: Rotation) {
  const signed = yield* Effect.result(sign({ ...settings, provisioner, provisionerKey: old }))
  if (Result.isFailure(signed) && signed.failure._tag === "CaKeyUnknown") return
  if (Result.isFailure(signed)) return yield* signed.failure
  return yield* new RotationReloadFailed({
    who: "step-ca",
    phase: "drained",
    reason: "it still signs for the old key"
  })
})

// --- reloads --------------------------------------------------------------------------

const reloadTimeout = Duration.seconds(60)

/** It needs none of our secrets. */
const secretVariable = /(?:_KEY_JSON|_PASSWORD|_URL|_TOKEN|_API_KEY)$/

const runShell = (command: string) =>
  Effect.callback<Option.Option<string>>((resume) => {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !secretVariable.test(name)))
    const child = spawn("sh", ["-c", command], { env, stdio: ["ignore", "ignore", "pipe"] })
    let said = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-2000)
    })
    child.once("error", (error) => resume(Effect.succeed(Option.some(error.message))))
    child.once("close", (code, signal) => {
      const last = said.trim().split("\n").at(-1) ?? ""
      resume(
        Effect.succeed(
          code === 0
            ? Option.none()
            : Option.some(
                `its reload command ended with ${code ?? signal ?? "nothing"}${last === "" ? "" : `: ${last}`}`
              )
        )
      )
    })
    return Effect.sync(() => child.kill())
  })

const reload = Effect.fnUntraced(function* (who: "step-ca" | "gateway", command: string, phase: Phase) {
  const failed = (reason: string) => new RotationReloadFailed({ who, phase, reason })
  const problem = yield* runShell(command).pipe(
    Effect.timeoutOrElse({
      duration: reloadTimeout,
      orElse: () => Effect.fail(failed("its reload command does not end"))
    })
  )
  if (Option.isSome(problem)) return yield* failed(problem.value)
})

const showTimeout = Duration.seconds(30)

/** Changes ca.json, and goes on once the CA shows it: `shows` is what must be seen. */
const changeCa = Effect.fnUntraced(function* (
  { options, settings, state }: Rotation,
  change: (provisioners: ReadonlyArray<CaProvisioner>) => ReadonlyArray<CaProvisioner>,
  shows: (kids: ReadonlyMap<string, string>) => boolean
) {
  yield* changeProvisioners(options.caConfig, change)
  const isShown = Effect.map(shownKids(settings), Option.exists(shows))
  if (yield* isShown) return
  const phase = phaseOf(state)
  yield* reload("step-ca", options.reloadCa, phase)
  const wait = Effect.gen(function* () {
    while (!(yield* isShown)) yield* Effect.sleep("100 millis")
  })
  yield* wait.pipe(
    Effect.timeoutOrElse({
      duration: showTimeout,
      orElse: () =>
        Effect.fail(
          new RotationReloadFailed({
            who: "step-ca",
            phase,
            reason: `${Duration.format(showTimeout)} after its reload it does not show what ${options.caConfig} says`
          })
        )
    })
  )
})

// --- the phases -----------------------------------------------------------------------

/** A copy of the old entry under the new name, with the new key: claims, template and all else are the same. */
const addBeside = (rotation: Rotation) => {
  const { nextPublic, state } = rotation
  const beside = nameBeside(state.provisioner)
  return changeCa(
    rotation,
    (provisioners) => {
      const old = named(provisioners, state.provisioner)
      if (old === undefined || named(provisioners, beside) !== undefined) return provisioners
      const { encryptedKey: _, ...rest } = old
      return [...provisioners, { ...rest, name: beside, key: { ...nextPublic, kid: state.newKid } }]
    },
    (kids) => kids.get(beside) === state.newKid
  )
}

const writeKeyFiles = ({ options, state }: Rotation, content: string) =>
  Effect.gen(function* () {
    for (const path of state.keyFiles) yield* replaceFile(path, content)
    yield* reload("gateway", options.reloadGateway, phaseOf(state))
  })

/** Name and key in one file: whoever reads it has both of the new one, or both of the old one. */
const switchKey = (rotation: Rotation) => {
  const { nextJwe, nextPublic, state } = rotation
  const entry = {
    type: "JWK",
    name: nameBeside(state.provisioner),
    key: nextPublic,
    encryptedKey: nextJwe
  }
  return writeKeyFiles(rotation, `${JSON.stringify(entry)}\n`)
}

const drainedAt = ({ options, state }: Pick<Rotation, "options" | "state">, since: Phase) => {
  const done = state.done.find(({ phase }) => phase === since)
  return Option.map(Option.fromUndefinedOr(done), ({ at }) => DateTime.addDuration(at, options.drain))
}

const wait = Effect.fnUntraced(function* (rotation: Rotation, since: Phase) {
  const until = drainedAt(rotation, since)
  if (Option.isNone(until)) return
  const left = DateTime.toEpochMillis(until.value) - DateTime.toEpochMillis(yield* DateTime.now)
  if (left > 0) yield* Effect.sleep(Duration.millis(left))
})

/** init.sh puts the key that this file holds into ca.json at every boot: it is to be the new one. */
const publishKey = Effect.fnUntraced(function* ({ nextPublic }: Rotation) {
  const path = yield* optionalSetting("MOSAIC_PROVISIONER_JWK_FILE")
  if (Option.isSome(path)) yield* replaceFile(path.value, `${JSON.stringify(nextPublic)}\n`)
})

const replaceOld = Effect.fnUntraced(function* (rotation: Rotation) {
  const { next, nextPublic, settings, state } = rotation
  yield* publishKey(rotation)
  yield* changeCa(
    rotation,
    (provisioners) =>
      provisioners.map((one) => {
        if (one.name !== state.provisioner) return one
        const { encryptedKey: _, ...rest } = one
        return { ...rest, key: { ...nextPublic, kid: state.newKid } }
      }),
    (kids) => kids.get(state.provisioner) === state.newKid
  )
  yield* sign({ ...settings, provisioner: state.provisioner, provisionerKey: next })
  yield* refusesOld(rotation)
})

const returnName = (rotation: Rotation) => writeKeyFiles(rotation, `${rotation.nextJwe}\n`)

const removeBeside = Effect.fnUntraced(function* (rotation: Rotation) {
  const { next, settings, state } = rotation
  const beside = nameBeside(state.provisioner)
  yield* wait(rotation, "returned")
  yield* changeCa(
    rotation,
    (provisioners) => provisioners.filter(({ name }) => name !== beside),
    (kids) => !kids.has(beside)
  )
  yield* sign({ ...settings, provisioner: state.provisioner, provisionerKey: next })
})

type Step = (rotation: Rotation) => Effect.Effect<void, ProvisionerRotationError, FileSystem.FileSystem>

const steps: ReadonlyArray<readonly [Phase, Step]> = [
  ["prepared", addBeside],
  [
    "proved",
    ({ next, settings, state }) =>
      sign({ ...settings, provisioner: nameBeside(state.provisioner), provisionerKey: next })
  ],
  ["switched", switchKey],
  ["drained", (rotation) => wait(rotation, "switched")],
  ["removed", replaceOld],
  ["returned", returnName],
  ["settled", removeBeside]
]

// --- beginning and going on -----------------------------------------------------------

const keySetting = "STEP_CA_PROVISIONER_KEY_JSON_FILE"

const readText = (path: string) =>
  Effect.try({
    try: () => readFileSync(path, "utf8"),
    catch: (error) =>
      new InputUnreadable({ path, reason: (error as NodeJS.ErrnoException).code ?? "unreadable" })
  })

/** Every file that holds the old key and is read by somebody: each is to hold the new one. */
const findKeyFiles = Effect.fnUntraced(function* (
  { caConfig, keyFiles }: Pick<RotationOptions, "caConfig" | "keyFiles">,
  kid: string
) {
  const own = yield* optionalSetting(keySetting)
  if (Option.isNone(own)) {
    return yield* new ConfigMissing({
      variable: keySetting,
      expects: "the path of the file with the provisioner's key, which takes the new one"
    })
  }
  const kidIn = Effect.fnUntraced(function* (path: string) {
    return (yield* openKey(yield* readText(path))).kid
  })
  for (const path of keyFiles) {
    if ((yield* kidIn(path)) !== kid) {
      return yield* new UsageInvalid({
        problem: `--key-file ${path} holds another key than ${own.value}`,
        help: "mosaic federation provisioner rotate --help"
      })
    }
  }
  // From there init.sh copies it to the gateways at every boot of the CA.
  const beside = join(dirname(dirname(caConfig)), "gateway", "provisioner_key.jwe")
  const copies =
    existsSync(beside) && (yield* Effect.orElseSucceed(kidIn(beside), () => "another")) === kid
      ? [beside]
      : []
  return [...new Set([own.value, ...copies, ...keyFiles].map((path) => resolve(path)))]
})

/** Whether this is the CA's own configuration, and nobody else is at its provisioners. */
const checkCaConfig = Effect.fnUntraced(function* (path: string, provisioner: string, kid: string) {
  const unusable = (problem: string) => new CaConfigUnusable({ path, problem })
  const provisioners = yield* readProvisioners(path)
  const found = named(provisioners, provisioner)
  if (found === undefined || found.type.toUpperCase() !== "JWK") {
    return yield* unusable(`has no JWK provisioner ${provisioner}`)
  }
  if (found.key?.kid !== kid) {
    return yield* unusable(
      `has the key ${found.key?.kid ?? "none"} for ${provisioner}, and the key file has ${kid}`
    )
  }
  if (named(provisioners, nameBeside(provisioner)) !== undefined) {
    return yield* unusable(
      `has a provisioner ${nameBeside(provisioner)} already, of a rotation whose state is not here`
    )
  }
})

/** Everything that can be wrong is found before anything is written. */
const plan = Effect.fnUntraced(function* (
  settings: IssuanceSettings,
  options: Pick<RotationOptions, "caConfig" | "keyFiles" | "stateDirectory">
) {
  const { provisioner, provisionerKey } = settings
  if (Option.isSome(provisionerKey.provisioner) && provisioner.endsWith(nameBeside(""))) {
    return yield* new RotationStateUnusable({
      directory: options.stateDirectory,
      problem: `the key file is in the middle of a rotation (${provisioner}) that is not on record here`
    })
  }
  if (Option.isSome(yield* optionalSetting("STEP_CA_PROVISIONER_KID"))) {
    return yield* new ConfigInvalid({
      variable: "STEP_CA_PROVISIONER_KID",
      problem: "it holds the new key to the id of the old one",
      expects: "nothing: unset it, the id of a key is its thumbprint"
    })
  }
  const keyFiles = yield* findKeyFiles(options, provisionerKey.kid)
  yield* checkCaConfig(options.caConfig, provisioner, provisionerKey.kid)
  return { provisioner, oldKid: provisionerKey.kid, keyFiles }
})

/** The keys first: a record without them would be of no use, keys without a record are of no use to anybody. */
const begin = Effect.fnUntraced(function* (settings: IssuanceSettings, options: RotationOptions) {
  const planned = yield* plan(settings, options)
  const { jwe, kid } = yield* makeKey
  const directory = options.stateDirectory
  yield* replaceFile(keyPath(directory, "old"), yield* readText(planned.keyFiles[0] ?? ""))
  yield* replaceFile(keyPath(directory, "new"), jwe)
  const state: RotationState = {
    version: 1,
    ...planned,
    newKid: kid,
    done: [{ phase: "begun", at: yield* DateTime.now }]
  }
  yield* writeState(directory, state)
  return state
})

const hasPassed = (state: RotationState, phase: Phase) =>
  phases.indexOf(phaseOf(state)) >= phases.indexOf(phase)

const after = (state: RotationState, phase: Phase, at: DateTime.Utc): RotationState => ({
  ...state,
  done: [...state.done, { phase, at }]
})

/** A key is forgotten once it is on record that nothing needs it any more. */
const forgetKeys = Effect.fnUntraced(function* (directory: string, state: RotationState) {
  if (hasPassed(state, "removed")) yield* forgetKey(directory, "old")
  if (isOver(state)) yield* forgetKey(directory, "new")
})

const keysOf = Effect.fnUntraced(function* (directory: string, state: RotationState) {
  const unusable = (problem: string) => new RotationStateUnusable({ directory, problem })
  const read = Effect.fnUntraced(function* (which: "old" | "new", kid: string) {
    const path = keyPath(directory, which)
    const text = yield* Effect.mapError(readText(path), ({ reason }) =>
      unusable(`the ${which} key is not there (${reason})`)
    )
    const key = yield* openKey(text)
    if (key.kid !== kid) return yield* unusable(`the ${which} key is not the one of state.json`)
    return { key, text }
  })
  const { key: next, text } = yield* read("new", state.newKid)
  const old = hasPassed(state, "removed") ? next : (yield* read("old", state.oldKid)).key
  return { old, next, nextPublic: publicJwkOf(next), nextJwe: text.trim() } satisfies Keys
})

export interface RotationPlan {
  readonly provisioner: string
  readonly oldKid: string
  readonly keyFiles: ReadonlyArray<string>
  /** Where a rotation was begun and is not over. */
  readonly state: Option.Option<RotationState>
}

/** What `rotate` would do; nothing is changed. */
export const planRotation = Effect.fn("ProvisionerRotation.plan")(function* (
  options: Pick<RotationOptions, "caConfig" | "keyFiles" | "stateDirectory">
): Effect.fn.Return<RotationPlan, ProvisionerRotationError, IssuanceConfig | FileSystem.FileSystem> {
  const state = Option.filter(yield* readState(options.stateDirectory), (found) => !isOver(found))
  if (Option.isSome(state)) {
    const { keyFiles, oldKid, provisioner } = state.value
    return { provisioner, oldKid, keyFiles, state }
  }
  return { ...(yield* plan(yield* IssuanceConfig, options)), state }
})

/** Ends with the rotation, whether it began here or goes on. */
export const rotate = Effect.fn("ProvisionerRotation.rotate")(function* (
  options: RotationOptions
): Effect.fn.Return<
  RotationState,
  ProvisionerRotationError,
  IssuanceConfig | FileSystem.FileSystem | Scope.Scope
> {
  const settings = yield* IssuanceConfig
  const directory = options.stateDirectory
  yield* lockOf(directory)
  const found = Option.filter(yield* readState(directory), (one) => !isOver(one))
  let state = Option.isSome(found) ? found.value : yield* begin(settings, options)
  yield* forgetKeys(directory, state)
  yield* options.tell(state)
  const keys = yield* keysOf(directory, state)
  const from = phases.indexOf(phaseOf(state))
  for (const [phase, step] of steps.slice(from)) {
    yield* step({ ...keys, settings, options, state })
    state = after(state, phase, yield* DateTime.now)
    yield* writeState(directory, state)
    yield* forgetKeys(directory, state)
    yield* options.tell(state)
  }
  return state
})
