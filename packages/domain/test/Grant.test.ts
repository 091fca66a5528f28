import { assert, describe, it } from "@effect/vitest"
import { DateTime, Result, Schema } from "effect"
import { Grant, NewGrant } from "../src/Grant.ts"

const grant = {
  id: "9f8c2a1e-5b7d-4c3f-8a60-1d2e3f405162",
  subjectUserId: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  peer: "gateway.example",
  scopes: ["orders:read", "orders:write"],
  storedStatus: "active" as const,
  expiresAt: "2026-07-01T00:00:00.000Z",
  createdAt: "2026-06-01T00:00:00.000Z",
  revokedAt: null,
  revocationReason: null
}

const decode = Schema.decodeUnknownResult(Grant)

const refusalOf = (value: unknown) => {
  const decoded = decode(value)
  assert.isTrue(Result.isFailure(decoded), JSON.stringify(value))
  return Result.isFailure(decoded) ? decoded.failure.message : ""
}

describe("Grant", () => {
  it("is encoded as it was decoded", () => {
    assert.deepStrictEqual(Schema.encodeSync(Grant)(Result.getOrThrow(decode(grant))), grant)
  })

  it("refuses a field of the wrong form, names it and says what it takes", () => {
    const cases: ReadonlyArray<readonly [object, string, string]> = [
      [{ id: "7" }, "id", "a canonical lower-case UUID"],
      [{ subjectUserId: grant.id.toUpperCase() }, "subjectUserId", "a canonical lower-case UUID"],
      [{ peer: "" }, "peer", "1 to 253 visible ASCII characters"],
      [{ peer: "gate way" }, "peer", "1 to 253 visible ASCII characters"],
      [{ peer: "gäteway" }, "peer", "1 to 253 visible ASCII characters"],
      [{ peer: "x".repeat(254) }, "peer", "1 to 253 visible ASCII characters"],
      [{ scopes: ["orders read"] }, "scopes", "a scope-token (RFC 6749)"],
      [{ scopes: ['orders"read'] }, "scopes", "a scope-token (RFC 6749)"],
      [{ scopes: ["orders\\read"] }, "scopes", "a scope-token (RFC 6749)"],
      [{ scopes: ["x".repeat(129)] }, "scopes", "a scope-token (RFC 6749)"],
      [{ scopes: ["a", "a"] }, "scopes", "scopes that differ"],
      [{ scopes: Array.from({ length: 65 }, (_, index) => `s${index}`) }, "scopes", "64"],
      [{ storedStatus: "expired" }, "storedStatus", '"active" | "suspended" | "revoked"'],
      [{ expiresAt: "tomorrow" }, "expiresAt", "DateTime"],
      [{ revokedAt: undefined }, "revokedAt", "null"]
    ]
    for (const [change, field, expected] of cases) {
      const message = refusalOf({ ...grant, ...change })
      assert.include(message, `["${field}"]`)
      assert.include(message, expected)
    }
  })

  it("refuses a grant that lacks a field and names it", () => {
    for (const field of Object.keys(grant)) {
      const { [field as keyof typeof grant]: _absent, ...rest } = grant
      const message = refusalOf(rest)
      assert.include(message, "Missing key")
      assert.include(message, `["${field}"]`)
    }
  })

  it("expires at the very instant of expiresAt, and stays revoked after it", () => {
    const before = DateTime.makeUnsafe("2026-06-30T23:59:59.999Z")
    const at = DateTime.makeUnsafe(grant.expiresAt)
    const statuses = (storedStatus: string) => {
      const stored = Result.getOrThrow(decode({ ...grant, storedStatus }))
      return [stored.statusAt(before), stored.statusAt(at)]
    }
    assert.deepStrictEqual(statuses("active"), ["active", "expired"])
    assert.deepStrictEqual(statuses("suspended"), ["suspended", "expired"])
    assert.deepStrictEqual(statuses("revoked"), ["revoked", "revoked"])
  })
})

describe("NewGrant", () => {
  it("needs no id and takes one", () => {
    const { expiresAt, id, peer, scopes, subjectUserId } = grant
    const wanted = { subjectUserId, peer, scopes, expiresAt }
    const decodeNew = Schema.decodeUnknownSync(NewGrant)
    assert.notProperty(decodeNew(wanted), "id")
    assert.strictEqual<string | undefined>(decodeNew({ ...wanted, id }).id, id)
  })
})
