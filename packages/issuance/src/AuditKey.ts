/**
 * The Ed25519 key by which this gateway signs heads and checkpoints of the audit chain, and whose keys it believes. What
 * is signed can be kept where the database's owner cannot reach it.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign as signWith,
  verify as verifyWith
} from "node:crypto"
import { link, lstat, mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { ConfigInvalid } from "@mosaic-federation/domain/ConfigurationErrors"
import { AuditSignatureInvalid } from "@mosaic-federation/domain/StorageErrors"
import { Context, Effect, type FileSystem, Layer, Option, Redacted, Result } from "effect"
import type { ChainPoint } from "./AuditChain.ts"
import { mosaicHome } from "./MosaicHome.ts"
import { optionalSetting, type SettingError } from "./Setting.ts"

/** A point of the chain with who says so. */
export interface SignedPoint extends ChainPoint {
  /** When it was signed, RFC 3339 in UTC. */
  readonly at: string
  /** DER SubjectPublicKeyInfo, base64url. */
  readonly publicKey: string
  /** Ed25519 (RFC 8032), base64url. */
  readonly signature: string
}

export type SignedKind = "head" | "checkpoint"

/** What is signed, as UTF-8. */
const signedText = (kind: SignedKind, { at, hash, height }: ChainPoint & { readonly at: string }) =>
  Buffer.from(JSON.stringify([`mosaic-audit-${kind}-1`, height, hash, at]))

const keyForm = "an Ed25519 private key in PEM: openssl genpkey -algorithm ed25519"

const readKey = (text: Redacted.Redacted, source: string): Result.Result<KeyObject, ConfigInvalid> => {
  const invalid = (problem: string) => new ConfigInvalid({ variable: source, problem, expects: keyForm })
  return Result.try({
    try: () => createPrivateKey(Redacted.value(text)),
    catch: () => invalid("it is not a private key in PEM")
  }).pipe(
    Result.flatMap((key) =>
      key.asymmetricKeyType === "ed25519"
        ? Result.succeed(key)
        : Result.fail(invalid(`it is a key of type ${String(key.asymmetricKeyType)}`))
    )
  )
}

/** Hex SHA-256 of the DER SubjectPublicKeyInfo. */
export const keyIdOf = (publicKey: string): string =>
  createHash("sha256").update(Buffer.from(publicKey, "base64url")).digest("hex")

/** Written whole and then linked into place: of several that start at once, one makes the key of all. */
const readOrMake = async (home: string, path: string): Promise<string> => {
  const read = async () => {
    const { mode } = await lstat(path)
    if ((mode & 0o077) !== 0) throw new Error(`others may read it: chmod 600 ${path}`)
    return await readFile(path, "utf8")
  }
  const missing = (error: unknown) => (error as NodeJS.ErrnoException).code === "ENOENT"
  const found = await read().catch((error: unknown) => (missing(error) ? undefined : Promise.reject(error)))
  if (found !== undefined) return found
  await mkdir(home, { recursive: true, mode: 0o700 })
  const staging = `${path}.${randomUUID()}`
  const made = generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" })
  await writeFile(staging, made, { mode: 0o600, flag: "wx", flush: true })
  try {
    await link(staging, path).catch((error: NodeJS.ErrnoException) =>
      error.code === "EEXIST" ? undefined : Promise.reject(error)
    )
  } finally {
    await rm(staging)
  }
  return await read()
}

const ownKey = Effect.gen(function* () {
  const variable = "MOSAIC_AUDIT_KEY"
  const given = yield* optionalSetting(variable)
  if (Option.isSome(given)) return yield* Effect.fromResult(readKey(Redacted.make(given.value), variable))
  const home = yield* mosaicHome
  const path = join(home, "audit.key")
  const text = yield* Effect.tryPromise({
    try: () => readOrMake(home, path),
    catch: (error) =>
      new ConfigInvalid({
        variable,
        problem: `it is not set, and ${path} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
        expects: `${keyForm}; better in a file that MOSAIC_AUDIT_KEY_FILE names`
      })
  })
  return yield* Effect.fromResult(readKey(Redacted.make(text), path))
})

const trustVariable = "MOSAIC_AUDIT_TRUST"

/** The ids that `MOSAIC_AUDIT_TRUST` names: those keys, and no other, are believed. With none, it is the one that signs. */
export const readTrusted = Effect.gen(function* () {
  const variable = trustVariable
  const text = Option.getOrElse(yield* optionalSetting(variable), () => "")
  const ids = text.split(",").flatMap((id) => (id.trim() === "" ? [] : [id.trim().toLowerCase()]))
  const wrong = ids.find((id) => !/^[0-9a-f]{64}$/.test(id))
  return wrong === undefined
    ? ids
    : yield* new ConfigInvalid({
        variable,
        problem: `${JSON.stringify(wrong)} is not the id of a key`,
        expects: "a comma list of key ids: hex SHA-256, as mosaic audit verify shows them"
      })
})

const signatureFits = (kind: SignedKind, point: SignedPoint): boolean =>
  Result.getOrElse(
    Result.try(() => {
      const key = createPublicKey({
        key: Buffer.from(point.publicKey, "base64url"),
        format: "der",
        type: "spki"
      })
      const signature = Buffer.from(point.signature, "base64url")
      return key.asymmetricKeyType === "ed25519" && verifyWith(null, signedText(kind, point), key, signature)
    }),
    () => false
  )

/** Whose signatures are believed. */
export interface AuditTrust {
  readonly isTrusted: (point: SignedPoint) => boolean
  /** Fails unless a trusted key has signed the point. */
  readonly check: (
    kind: SignedKind,
    point: SignedPoint,
    what: string
  ) => Effect.Effect<void, AuditSignatureInvalid>
}

/** Of keys by their ids. */
export const trustIn = (ids: ReadonlyArray<string>): AuditTrust => {
  const isTrusted = (point: SignedPoint) => ids.includes(keyIdOf(point.publicKey))
  return {
    isTrusted,
    check: Effect.fnUntraced(function* (kind, point, what) {
      if (!signatureFits(kind, point)) {
        const problem = "the signature does not fit what it signs"
        return yield* new AuditSignatureInvalid({ what, problem })
      }
      if (!isTrusted(point)) {
        const problem = `it is signed by the key ${keyIdOf(point.publicKey)}, which is not trusted here`
        return yield* new AuditSignatureInvalid({ what, problem })
      }
    })
  }
}

export class AuditKey extends Context.Service<
  AuditKey,
  AuditTrust & {
    readonly publicKey: string
    readonly sign: (kind: SignedKind, point: ChainPoint, at: string) => SignedPoint
  }
>()("@mosaic-federation/issuance/AuditKey") {
  /** `MOSAIC_AUDIT_KEY`, else `audit.key` under `MOSAIC_HOME`, which is made where it is missing. */
  static readonly layer = Layer.effect(
    AuditKey,
    Effect.gen(function* (): Effect.fn.Return<AuditKey["Service"], SettingError, FileSystem.FileSystem> {
      const key = yield* ownKey
      const publicKey = createPublicKey(key).export({ format: "der", type: "spki" }).toString("base64url")
      const id = keyIdOf(publicKey)
      const named = yield* readTrusted
      if (named.length > 0 && !named.includes(id)) {
        return yield* new ConfigInvalid({
          variable: trustVariable,
          problem: `it does not name ${id}, the key by which heads are signed here`,
          expects:
            "the ids of all keys that are believed, that one and those before it, with commas between them"
        })
      }
      return AuditKey.of({
        ...trustIn([id, ...named]),
        publicKey,
        sign: (kind, point, at) => {
          const { hash, height } = point
          const signature = signWith(null, signedText(kind, { height, hash, at }), key).toString("base64url")
          return { height, hash, at, publicKey, signature }
        }
      })
    })
  ).pipe(Layer.provide(NodeFileSystem.layer))
}
