/**
 * Operators' API keys: made, shown once, looked up and taken back. The database has a hash of each; a key of 256 random
 * bits needs no slow one. What a key allows an operator to do is left to `OperatorAuth`.
 */
import { hash, randomBytes, timingSafeEqual } from "node:crypto"
import type { OperatorScope } from "@mosaic-federation/domain/api/Access"
import { type ApiKey, ApiKeyId } from "@mosaic-federation/domain/ApiKey"
import type { Grant } from "@mosaic-federation/domain/Grant"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import {
  ApiKeyExpired,
  type ApiKeyNotFound,
  ApiKeyRevoked,
  type ApiKeyRotated,
  ApiKeyUnknown
} from "@mosaic-federation/domain/ServerErrors"
import type { StorageError } from "@mosaic-federation/domain/StorageErrors"
import { ApiKeyRepo } from "@mosaic-federation/issuance/ApiKeyRepo"
import { Context, DateTime, Duration, Effect, Layer, Option, Redacted } from "effect"

export interface MadeKey {
  readonly key: ApiKey
  /** What the operator sends; nobody can read it again. */
  readonly secret: Redacted.Redacted
}

export interface AuthenticatedKey {
  readonly key: ApiKey
  /** The one that was wanted, as it was when the key was looked up; null where there is none. */
  readonly grant: Grant | null
}

/** Greppable, so that a key that leaks into a repository or a log is found by scanners of secrets. */
const form = /^mosaic_key_1_([0-9a-f]{16})_[A-Za-z0-9_-]{43}$/

export const looksLikeApiKey = (credential: Redacted.Redacted): boolean =>
  Redacted.value(credential).startsWith("mosaic_key_")

const sha256 = (secret: Redacted.Redacted): Buffer => hash("sha256", Redacted.value(secret), "buffer")

const makeSecret = () => {
  const id = ApiKeyId.make(randomBytes(8).toString("hex"))
  const secret = Redacted.make(`mosaic_key_1_${id}_${randomBytes(32).toString("base64url")}`, {
    label: "API key"
  })
  return { id, secret, keySha256: sha256(secret).toString("hex") }
}

/** The last use is kept to the minute: a write for each request would cost more than the request. */
const useInterval = Duration.minutes(1)

export class ApiKeys extends Context.Service<
  ApiKeys,
  {
    readonly create: (request: {
      readonly name: string
      readonly scope: OperatorScope
      /** For ever by default. */
      readonly lifetime?: Duration.Duration
    }) => Effect.Effect<MadeKey, StorageError>
    readonly list: Effect.Effect<ReadonlyArray<ApiKey>, StorageError>
    readonly revoke: (id: ApiKeyId) => Effect.Effect<ApiKey, ApiKeyNotFound | StorageError>
    /** A new key of the same name, scope and end; the old one works for `overlap` on. */
    readonly rotate: (
      id: ApiKeyId,
      overlap: Duration.Duration
    ) => Effect.Effect<
      MadeKey & { readonly old: ApiKey },
      ApiKeyNotFound | ApiKeyRevoked | ApiKeyRotated | ApiKeyExpired | StorageError
    >
    /** `from` is the address that the key came from; `grantId` names a grant that is wanted with a good key. */
    readonly authenticate: (
      shown: Redacted.Redacted,
      from: string,
      grantId?: GrantId
    ) => Effect.Effect<AuthenticatedKey, ApiKeyUnknown | ApiKeyRevoked | ApiKeyExpired | StorageError>
  }
>()("@mosaic-federation/gateway/ApiKeys") {
  static readonly layerNoDeps = Layer.effect(
    ApiKeys,
    Effect.gen(function* () {
      const keys = yield* ApiKeyRepo

      const create = Effect.fn("ApiKeys.create")(function* (request: {
        readonly name: string
        readonly scope: OperatorScope
        readonly lifetime?: Duration.Duration
      }) {
        const createdAt = yield* DateTime.now
        const { id, keySha256, secret } = makeSecret()
        const expiresAt =
          request.lifetime === undefined ? null : DateTime.addDuration(createdAt, request.lifetime)
        const { name, scope } = request
        const key = yield* keys.create({ id, name, scope, keySha256, createdAt, expiresAt })
        return { key, secret } satisfies MadeKey
      })

      const rotate = Effect.fn("ApiKeys.rotate")(function* (id: ApiKeyId, overlap: Duration.Duration) {
        const createdAt = yield* DateTime.now
        const { secret, ...made } = makeSecret()
        const until = DateTime.addDuration(createdAt, overlap)
        const { old, successor } = yield* keys.rotate(id, { ...made, createdAt }, until)
        return { key: successor, secret, old }
      })

      /** An outage that keeps the use from being noted does not keep the key from being used. */
      const noteUse = Effect.fnUntraced(function* (key: ApiKey, now: DateTime.Utc, from: string) {
        const { lastUsedAt } = key
        if (lastUsedAt !== null && DateTime.isLessThan(now, DateTime.addDuration(lastUsedAt, useInterval))) {
          return
        }
        yield* keys
          .noteUse(key.id, now, from)
          .pipe(
            Effect.catch(({ code }) =>
              Effect.logWarning("the use of an API key is not noted", { keyId: key.id, code })
            )
          )
      })

      const authenticate = Effect.fnUntraced(function* (
        shown: Redacted.Redacted,
        from: string,
        grantId?: GrantId
      ) {
        const id = form.exec(Redacted.value(shown))?.[1]
        if (id === undefined) return yield* new ApiKeyUnknown()
        const found = Option.getOrUndefined(yield* keys.find(ApiKeyId.make(id), grantId))
        // The id is no secret, so only the comparison of the hashes must not tell how far it came.
        if (found === undefined || !timingSafeEqual(Buffer.from(found.keySha256, "hex"), sha256(shown))) {
          return yield* new ApiKeyUnknown()
        }
        const { grant, key } = found
        const { expiresAt, revokedAt } = key
        if (revokedAt !== null) return yield* new ApiKeyRevoked({ keyId: id, revokedAt })
        const now = yield* DateTime.now
        if (expiresAt !== null && key.statusAt(now) === "expired") {
          return yield* new ApiKeyExpired({ keyId: id, expiredAt: expiresAt })
        }
        yield* noteUse(key, now, from)
        return { key, grant } satisfies AuthenticatedKey
      })

      return ApiKeys.of({ create, list: keys.list, revoke: keys.revoke, rotate, authenticate })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(ApiKeyRepo.layerNoDeps))
}
