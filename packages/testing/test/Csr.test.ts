import { execFileSync } from "node:child_process"
import { createPrivateKey, createPublicKey } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type CsrKind, type CsrOptions, makeCsr } from "../src/Csr.ts"
import { stepTools } from "../src/StepTools.ts"

/** What step, which is not ours, reads in it; it verifies the signature too. */
const inspect = Effect.fnUntraced(function* (pem: string) {
  const { step } = yield* stepTools()
  const directory = mkdtempSync(join(tmpdir(), "mosaic-csr-"))
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true })))
  const path = join(directory, "request.csr")
  writeFileSync(path, pem)
  return execFileSync(step.path, ["certificate", "inspect", "--format", "text", path], { encoding: "utf8" })
})

const everything: CsrOptions = {
  commonName: "somebody",
  uris: ["urn:uuid:1"],
  dnsNames: ["example.com"],
  asCa: true
}

describe("makeCsr", () => {
  const kinds: ReadonlyArray<readonly [CsrKind, RegExp]> = [
    ["P-256", /Public-Key: \(256 bit\)[^]*Curve: P-256[^]*ECDSA-SHA256/],
    ["P-384", /Public-Key: \(384 bit\)[^]*ECDSA-SHA384/],
    ["P-521", /Public-Key: \(521 bit\)[^]*ECDSA-SHA384/],
    ["Ed25519", /Public Key Algorithm: Ed25519/],
    ["RSA 2048", /Public-Key: \(2048 bit\)[^]*SHA256-RSA/],
    ["RSA 3072", /Public-Key: \(3072 bit\)/],
    ["RSA 1024", /Public-Key: \(1024 bit\)/]
  ]
  for (const [kind, expected] of kinds) {
    it.effect(`makes what step reads as ${kind}`, () =>
      Effect.gen(function* () {
        const { pem, privateKeyPem } = yield* makeCsr(kind)
        assert.match(yield* inspect(pem), expected)
        const spki = createPublicKey(createPrivateKey(privateKeyPem)).export({ format: "der", type: "spki" })
        assert.isTrue(Buffer.from(pem.replace(/-----.*-----|\n/g, ""), "base64").includes(spki))
      })
    )
  }

  it.effect("asks for what it is told to ask for, and for nothing else", () =>
    Effect.gen(function* () {
      const all = yield* inspect((yield* makeCsr("P-256", everything)).pem)
      assert.match(all, /Subject: CN=somebody/)
      assert.match(all, /URI:urn:uuid:1/)
      assert.match(all, /DNS:example\.com/)
      assert.match(all, /CA:TRUE/)
      assert.match(all, /Certificate Sign/)
      const none = yield* inspect((yield* makeCsr("P-256")).pem)
      assert.match(none, /Subject: *\n/)
      assert.notMatch(none, /Alternative|Basic|Usage/)
    })
  )
})
