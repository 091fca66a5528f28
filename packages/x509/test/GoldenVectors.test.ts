/** Our encoding is the one that two tools which know nothing of each other make of the same UUIDs. */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { alternativeNames, extendedKeyUsage, keyUsage, parseCertificate } from "../src/Certificate.ts"
import { checkAgainstGrant, parse } from "../src/CertificateRequest.ts"
import { decodeValue, encode, fromExtensions } from "../src/GrantExtension.ts"
import { grantOids } from "../src/Oid.ts"

const directory = fileURLToPath(new URL("golden", import.meta.url))
const golden = (name: string) => readFileSync(`${directory}/${name}`, "utf8")

const uuids = golden("uuids.txt").trim().split("\n")
const [grantId = "", subjectUserId = ""] = uuids.slice(-2)

const vectors = (name: string) =>
  golden(name)
    .trim()
    .split("\n")
    .map((line) => {
      const [type = "", uuid = "", hex = ""] = line.split(" ")
      return { type, uuid, bytes: new Uint8Array(Buffer.from(hex, "hex")) }
    })

const refused: { readonly [type: string]: string } = {
  printable: "expected tag 0C (UTF8String), found 13",
  octets: "expected tag 0C (UTF8String), found 04"
}

for (const [tool, name, types] of [
  ["OpenSSL", "values.openssl.txt", ["utf8", "printable", "octets"]],
  ["Go", "values.go.txt", ["utf8", "printable"]]
] as const) {
  describe(`The values that ${tool} made`, () => {
    const all = vectors(name)

    it("are of every UUID and every type", () => {
      assert.sameMembers(
        all.map(({ type, uuid }) => `${type} ${uuid}`),
        uuids.flatMap((uuid) => types.map((type) => `${type} ${uuid}`))
      )
    })

    for (const { bytes, uuid } of all.filter(({ type }) => type === "utf8")) {
      it(`${uuid} as a UTF8String is what we encode, and decodes`, () => {
        assert.deepStrictEqual(encode(uuid), Result.succeed(bytes))
        assert.deepStrictEqual(decodeValue(bytes), Result.succeed(uuid))
      })
    }

    for (const { bytes, type, uuid } of all.filter(({ type }) => type !== "utf8")) {
      it(`${uuid} as ${type} is refused`, () => {
        assert.deepStrictEqual(
          decodeValue(bytes),
          Result.fail({ _tag: "WrongTag", message: refused[type] ?? "" } as const)
        )
      })
    }
  })
}

describe("What holds the extensions", () => {
  it("OpenSSL's request is read, and its own extensions are reported and not taken", () => {
    const request = Result.getOrThrow(parse(golden("request.openssl.pem")))
    assert.strictEqual(request.keyDescription, "Ed25519")
    assert.deepStrictEqual(request.requestedExtensions, [
      "subjectAltName",
      "1.3.6.1.4.1.99999.1",
      "1.3.6.1.4.1.99999.2"
    ])
    assert(Result.isSuccess(checkAgainstGrant(request, { grantId })))
  })

  it("both ids are read from Go's certificate", () => {
    const certificate = Result.getOrThrow(parseCertificate(golden("certificate.go.pem")))
    const oids = Result.getOrThrow(grantOids())
    assert.deepStrictEqual(
      fromExtensions(certificate.extensions, oids),
      Result.succeed({ grantId, subjectUserId })
    )
    assert.strictEqual(certificate.serial, "98765432109876543210987654321098765432")
    assert.strictEqual(certificate.subject.text, `CN=${grantId}`)
    assert.strictEqual(certificate.notBefore.toISOString(), "2026-01-01T00:00:00.000Z")
    assert.strictEqual(certificate.notAfter.toISOString(), "2026-01-02T00:00:00.000Z")
    assert.deepStrictEqual(
      alternativeNames(certificate),
      Result.succeed([{ type: "URI", value: `urn:uuid:${grantId}` }] as const)
    )
    assert.deepStrictEqual(keyUsage(certificate), Result.succeed(["digitalSignature"]))
    assert.deepStrictEqual(extendedKeyUsage(certificate), Result.succeed(["1.3.6.1.5.5.7.3.2"]))
  })
})

const commands = [
  ...golden("README.md").matchAll(/^\| `(?<file>[\w.]+)` \| `(?<command>[^`]+) > [\w.]+` \|/gm)
].map(({ groups }) => ({ file: groups?.["file"] ?? "", command: groups?.["command"] ?? "" }))

const isThere = (tool: string, argument: string) => spawnSync(tool, [argument]).status === 0
const tools = { openssl: isThere("openssl", "version"), go: isThere("go", "version") }

describe("The commands beside the vectors", () => {
  it("make four files", () => {
    assert.sameMembers(
      commands.map(({ file }) => file),
      ["values.openssl.txt", "request.openssl.pem", "values.go.txt", "certificate.go.pem"]
    )
  })

  for (const { command, file } of commands) {
    const tool = command.startsWith("go ") ? "go" : "openssl"
    it(`${command} makes ${file} again`, (context) => {
      if (!tools[tool]) return context.skip(`${tool} is not on PATH; what is stored was compared above`)
      const { error, status, stderr, stdout } = spawnSync(command, {
        shell: "/bin/sh",
        cwd: directory,
        encoding: "utf8",
        timeout: 170_000
      })
      assert.strictEqual(status, 0, `${error?.message ?? ""}${stderr}`)
      assert.strictEqual(stdout, golden(file))
    })
  }
})
