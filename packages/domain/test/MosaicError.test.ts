/** The union is closed, its codes and numbers are stable, and no error says more than its public fields. */
import { readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Runtime, Schema } from "effect"
import { InputUnreadable } from "../src/CommandErrors.ts"
import { formatLifetime } from "../src/Lifetime.ts"
import { catalogue, isMosaicError, MosaicError } from "../src/MosaicError.ts"
import { CsrSubjectMismatch } from "../src/RequestErrors.ts"
import { errorExamples } from "./support/errorExamples.ts"

/** Code, exit code, HTTP status, retryable. Scripts and clients rely on every line: none may change, only be added. */
const stable = `
CONFIG_MISSING 8 500 false
CONFIG_CONFLICT 8 500 false
CONFIG_FILE_UNREADABLE 8 500 false
CONFIG_INVALID 8 500 false
CONFIG_FILE_MALFORMED 8 500 false
CONFIG_KEY_UNKNOWN 8 500 false
CONFIG_VALUE_INVALID 8 500 false
TIER_INCOMPLETE 8 500 false
PROVISIONER_KEY_NOT_JWK 8 500 false
PROVISIONER_KEY_PUBLIC_ONLY 8 500 false
PROVISIONER_KEY_WRONG_PASSWORD 8 500 false
PROVISIONER_KEY_ITERATIONS_REFUSED 8 500 false
PROVISIONER_KEY_UNSUPPORTED 8 500 false
PROVISIONER_KEY_KID_MISMATCH 8 500 false
PROVISIONER_KEY_SYMMETRIC_REFUSED 8 500 false
ROOT_CERTIFICATE_REFUSED 8 500 false
ROOT_CERTIFICATE_EXPIRED 8 500 false
TOKEN_SIGNING_FAILED 8 500 false
REQUEST_INVALID 2 400 false
CSR_MALFORMED 3 400 false
CSR_TOO_LARGE 3 413 false
CSR_SIGNATURE_INVALID 3 400 false
CSR_KEY_REFUSED 3 400 false
CSR_SUBJECT_MISMATCH 3 403 false
CSR_SAN_MISMATCH 3 403 false
RATE_LIMITED 3 429 true
GRANT_NOT_FOUND 3 404 false
GRANT_ALREADY_EXISTS 3 409 false
GRANT_REVOKED 3 403 false
GRANT_SUSPENDED 3 403 false
GRANT_EXPIRED 3 403 false
GRANT_SUBJECT_MISMATCH 3 403 false
GRANT_TOO_SHORT 3 403 false
LIFETIME_TOO_LONG 3 400 false
LIFETIME_TOO_SHORT 3 400 false
LIFETIME_BEYOND_GRANT 3 403 false
GRANT_ENDED_IN_FLIGHT 3 409 false
ENROLLMENT_TOKEN_MALFORMED 2 401 false
ENROLLMENT_TOKEN_UNKNOWN 3 401 false
ENROLLMENT_TOKEN_NOT_FOUND 3 404 false
ENROLLMENT_TOKEN_EXPIRED 3 403 false
ENROLLMENT_TOKEN_REVOKED 3 403 false
ENROLLMENT_TOKEN_USED 3 409 false
ENROLLMENT_TOKEN_BUSY 5 503 true
ENROLLMENT_KEY_MISMATCH 3 403 false
PEER_CERTIFICATE_MISSING 3 401 false
PEER_CERTIFICATE_NOT_A_GRANT 3 401 false
PEER_CERTIFICATE_UNKNOWN 3 401 false
PEER_CERTIFICATE_UNTRUSTED 3 401 false
PEER_CERTIFICATE_EXPIRED 3 401 false
PEER_CERTIFICATE_NOT_YET_VALID 3 401 false
PEER_CERTIFICATE_REVOKED 3 403 false
RENEWAL_TOO_SOON 3 429 true
RENEWAL_PROOF_INVALID 3 401 false
RENEWAL_PROOF_STALE 3 401 false
RENEWAL_PROOF_REPLAYED 3 401 false
AUTHENTICATION_REQUIRED 3 401 false
API_KEY_UNKNOWN 3 401 false
API_KEY_REVOKED 3 401 false
API_KEY_EXPIRED 3 401 false
API_KEY_ROTATED 3 409 false
API_KEY_NOT_FOUND 3 404 false
OPERATOR_TOKEN_REFUSED 3 401 false
OPERATOR_ISSUER_UNAVAILABLE 5 503 true
SCOPE_INSUFFICIENT 3 403 false
ENDPOINT_NOT_FOUND 3 404 false
BODY_TOO_LARGE 3 413 false
LENGTH_REQUIRED 3 411 false
REQUEST_TIMED_OUT 5 504 true
SERVER_OVERLOADED 5 503 true
SERVER_DRAINING 5 503 true
IDEMPOTENCY_KEY_REUSED 3 422 false
LISTEN_FAILED 8 500 false
VALKEY_UNAVAILABLE 7 503 true
PROXY_BYPASSED 3 403 false
SERVER_CERTIFICATE_REFUSED 4 500 false
GATEWAY_UNREACHABLE 5 503 true
GATEWAY_UNTRUSTED 5 502 false
GATEWAY_ANSWER_LOST 5 504 false
GATEWAY_ANSWER_UNREADABLE 5 502 false
GATEWAY_ERROR_UNKNOWN 3 502 false
ENROLLMENT_URL_MISMATCH 2 400 false
GATEWAY_ROOTS_REFUSED 5 502 false
PEER_DIRECTORY_UNUSABLE 7 500 false
PEER_DIRECTORY_BUSY 7 409 true
RENEWAL_HOOK_FAILED 8 500 true
RENEWAL_OVERDUE 5 500 true
CA_CONNECTION_REFUSED 5 503 true
CA_UNREACHABLE 5 503 true
CA_NAME_NOT_RESOLVED 5 503 true
CA_ISSUER_UNKNOWN 5 502 false
CA_CERTIFICATE_EXPIRED 5 502 false
CA_HOST_NAME_MISMATCH 5 502 false
CA_TLS_FAILED 5 502 false
CA_CONNECTION_RESET 5 502 true
CA_TIMEOUT 5 504 true
CA_RESPONSE_TOO_LARGE 5 502 false
CA_RESPONSE_TRUNCATED 5 502 true
CA_RESPONSE_NOT_JSON 5 502 false
CA_RESPONSE_EMPTY 5 502 false
CA_RESPONSE_SHAPE 5 502 false
CA_REDIRECTED 5 502 false
CA_BAD_REQUEST 4 502 false
CA_TEMPLATE_REFUSED 4 502 false
CA_TOKEN_REFUSED 4 502 false
CA_PROVISIONER_UNKNOWN 4 502 false
CA_KEY_UNKNOWN 4 502 false
CA_KEY_MISMATCH 4 502 false
CA_AUDIENCE_MISMATCH 4 502 false
CA_CLOCK_SKEW 4 502 false
CA_TOKEN_REUSED 4 502 false
CA_TOKEN_BEFORE_START 4 502 true
CA_FORBIDDEN 4 502 false
CA_NOT_FOUND 4 502 false
CA_RATE_LIMITED 5 503 true
CA_INTERNAL_ERROR 5 502 true
CA_UNEXPECTED_STATUS 5 502 false
CA_CHAIN_MISSING 6 502 false
CERTIFICATE_WITHHELD 6 502 false
ISSUANCE_AMBIGUOUS 5 502 true
ISSUANCE_IN_PROGRESS 5 409 true
ISSUANCE_OVERTAKEN 5 409 true
CERTIFICATE_UNREADABLE 2 400 false
CERTIFICATE_NOT_CONFORMANT 6 400 false
STORAGE_UNAVAILABLE 7 503 true
STORAGE_FAILED 7 500 false
STORAGE_SCHEMA_NEWER 7 500 false
STORAGE_SCHEMA_OLDER 7 500 false
EMBEDDED_POSTGRES_UNAVAILABLE 7 500 false
EMBEDDED_POSTGRES_FAILED 7 500 false
AUDIT_CHAIN_BROKEN 7 500 false
AUDIT_TAIL_MISSING 7 500 false
AUDIT_SIGNATURE_INVALID 7 500 false
AUDIT_UNPROTECTED 8 500 false
STORAGE_RIGHT_MISSING 8 500 false
PRUNE_UNDER_WAY 7 409 true
CA_CONFIG_UNUSABLE 8 500 false
ROTATION_STATE_UNUSABLE 8 500 false
ROTATION_UNDER_WAY 3 409 true
ROTATION_RELOAD_FAILED 5 503 true
USAGE_INVALID 2 400 false
INPUT_UNREADABLE 2 400 false
OUTPUT_EXISTS 2 409 false
OUTPUT_UNWRITABLE 7 500 false
CERTIFICATE_NOT_FOUND 3 404 false
DOCTOR_FAILED 11 503 false
DOCTOR_WARNED 10 503 false
RECORDS_DIFFER 7 500 false
INTERNAL_ERROR 70 500 false`
  .trim()
  .split("\n")

const source = new URL("../src/", import.meta.url)

/** The codes of every class that any module of errors exports, found by looking into the directory. */
const exportedCodes = async () => {
  const modules = readdirSync(source).filter((name) => name.endsWith("Errors.ts"))
  const exported = await Promise.all(
    modules.map(async (name) => {
      const module = (await import(/* @vite-ignore */ new URL(name, source).href)) as Readonly<
        Record<string, unknown>
      >
      return Object.values(module).flatMap((value) =>
        typeof value === "function" && "code" in value ? [String(value.code)] : []
      )
    })
  )
  return exported.flat()
}

/** A field as an error's sentences write it. */
const written = (value: unknown): string => {
  if (Duration.isDuration(value)) return formatLifetime(value)
  if (DateTime.isDateTime(value)) return DateTime.formatIso(value)
  if (Array.isArray(value)) return value.join(", ")
  if (typeof value === "number") return String(Math.abs(value))
  return String(value)
}

/** What only programs need: the thread into the CA's log, and what a caller knows because it asked. */
const forPrograms = new Set([
  "requestId",
  "grantId",
  "revokedAtCa",
  "phase",
  "check",
  "asker",
  "mismatches",
  "_tag"
])

describe("MosaicError", () => {
  it("has every class that a module of errors exports", async () => {
    assert.sameMembers(
      catalogue.map(({ code }) => code),
      await exportedCodes()
    )
  })

  it("keeps codes, exit codes, HTTP statuses and whether trying again can help", () => {
    assert.deepStrictEqual(
      catalogue.map(({ code, exitCode, httpStatus, retryable }) =>
        [code, exitCode, httpStatus, retryable].join(" ")
      ),
      stable
    )
    assert.strictEqual(new Set(catalogue.map(({ code }) => code)).size, catalogue.length)
  })

  it("knows no exit code beside the documented ones, and none that means done", () => {
    const documented = [2, 3, 4, 5, 6, 7, 8, 10, 11, 70]
    assert.sameMembers([...new Set(catalogue.map(({ exitCode }) => exitCode))], documented)
  })

  it("has an example of each, in the order of the union", () => {
    assert.deepStrictEqual(
      errorExamples.map(({ code }) => code),
      catalogue.map(({ code }) => code)
    )
  })

  it("documents each in the catalogue, in whole sentences", () => {
    for (const { code, explanation, title } of catalogue) {
      assert.match(code, /^[A-Z]+(_[A-Z]+)*$/)
      assert.match(title, /^[A-Z].*[^.]$/, code)
      assert.match(explanation, /^(?:[A-Z]|step-ca|initdb).*\.$/s, code)
    }
  })

  it("shows one line without control characters, whatever a peer or the CA wrote", () => {
    const found = "CN=a\r\n  b\u001b[2Kc\u202ed\u2028e"
    const error = new CsrSubjectMismatch({ expected: "none", found })
    assert.include(error.message, "found CN=a b [2Kc d e")
    const file = new InputUnreadable({ path: "a\nb", reason: "no such file" })
    assert.strictEqual(file.remediation, "name a file that this user can read: ls -l a b")
    assert.strictEqual(error.found, found)
  })

  for (const example of errorExamples) {
    describe(`error ${example.code}`, () => {
      it("carries its facets, and runMain's exit code", () => {
        const entry = catalogue.find(({ code }) => code === example.code)
        const { code, exitCode, httpStatus, retryable, title } = example
        const { explanation: _explanation, ...facets } = entry ?? { explanation: "" }
        assert.deepStrictEqual({ code, title, exitCode, httpStatus, retryable }, facets)
        assert.strictEqual(Reflect.get(example, Runtime.errorExitCode), exitCode)
        assert.isTrue(isMosaicError(example))
        assert.instanceOf(example, Error)
      })

      it("says why and what to do, with all that it knows", () => {
        const { message, remediation } = example
        for (const sentence of [message, remediation]) {
          assert.isAbove(sentence.length, 5)
          assert.notMatch(sentence, /undefined|\[object|NaN|null|\n/)
        }
        const encoded = Object.entries(example)
        for (const [field, value] of encoded) {
          if (!forPrograms.has(field)) assert.include(`${message} ${remediation}`, written(value), field)
        }
      })

      it("is encoded with its public fields and never with a cause", () => {
        const withCause = Object.assign(example, { cause: new Error("postgres://mosaic:s3cret@10.0.0.7/db") })
        const encoded = Schema.encodeSync(MosaicError)(withCause)
        const wire = JSON.stringify(encoded)
        Reflect.deleteProperty(withCause, "cause")
        const declared = MosaicError.members.find((member) => member.code === example.code)?.fields ?? {}
        assert.sameMembers(Object.keys(encoded), Object.keys(declared))
        assert.notProperty(declared, "cause")
        assert.notInclude(wire, '"cause":')
        assert.notInclude(wire, "s3cret")
        const decoded = Schema.decodeUnknownSync(MosaicError)(JSON.parse(wire))
        assert.strictEqual(decoded.message, example.message)
        assert.strictEqual(decoded.remediation, example.remediation)
      })
    })
  }
})
