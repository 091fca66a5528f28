/** What docs/grant-extension.md tells a reader to run prints what it says, and its lists are those of the code. */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { encode, type GrantExtensionFault } from "../src/GrantExtension.ts"
import { grantOids } from "../src/Oid.ts"
import { extension } from "./support/Der.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const document = readFileSync(`${root}/docs/grant-extension.md`, "utf8")

const examples = [...document.matchAll(/```sh\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/g)].map(
  ([, command = "", output = ""]) => ({ command: command.trim(), output })
)

const opensslIsThere = spawnSync("openssl", ["version"]).status === 0

const oids = Result.getOrThrow(grantOids())

const reasons: { readonly [reason in GrantExtensionFault["_tag"]]: true } = {
  Missing: true,
  Duplicate: true,
  Critical: true,
  WrongTag: true,
  LongFormLength: true,
  WrongLength: true,
  Truncated: true,
  TrailingBytes: true,
  NotAscii: true,
  UpperCase: true,
  NotUuid: true
}

describe("docs/grant-extension.md", () => {
  it("has an output for every command", () => {
    assert.strictEqual(examples.length, 4)
    assert.strictEqual(examples.length, document.split("```sh").length - 1)
  })

  for (const { command, output } of examples) {
    it(`tells the output of: ${command}`, (context) => {
      if (!opensslIsThere) return context.skip("openssl is not on PATH; npm run parts installs it")
      const { status, stderr, stdout } = spawnSync(command, { shell: "/bin/sh", cwd: root, encoding: "utf8" })
      assert.strictEqual(status, 0, stderr)
      assert.strictEqual(stdout, output)
    })
  }

  it("explains the octets of an extension that we encode", () => {
    const [, dump = ""] = /```hex\n([\s\S]*?)```/.exec(document) ?? []
    const explained = dump
      .split("\n")
      .map((line) => line.slice(0, 40).replaceAll(" ", ""))
      .join("")
    const value = Result.getOrThrow(encode("01890a5d-ac96-774b-bcce-b302099a8057"))
    assert.strictEqual(explained, Buffer.from(extension(oids.grantId, value)).toString("hex"))
  })

  it("names the OIDs", () => {
    assert.include(document, `| \`grantId\` | \`${oids.grantId}\` |`)
    assert.include(document, `| \`subjectUserId\` | \`${oids.subjectUserId}\` |`)
  })

  it("lists every reason for a refusal", () => {
    const [, section = ""] = document.split("## What is refused")
    assert.sameMembers(
      [...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, reason]) => reason),
      Object.keys(reasons)
    )
  })
})
