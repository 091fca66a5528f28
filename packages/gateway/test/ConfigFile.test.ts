/** Whatever can be wrong in the configuration file, with the line, the key and the remedy that are told. */
import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result, Schema } from "effect"
import { configSchemaText } from "../src/ConfigSchema.ts"
import { ConfigFileContent, parseConfigFile } from "../src/ConfigFile.ts"
import { readFileSync } from "node:fs"

const path = "mosaic.config.json"

const refusal = (text: string) =>
  Result.match(parseConfigFile(path, text), {
    onSuccess: () => assert.fail(`accepted: ${text}`),
    onFailure: (error) => {
      const { code, message, remediation } = error
      assert.notInclude(JSON.stringify(error) + message + remediation, "hunter2")
      return { code, message, remediation }
    }
  })

const accepted = (text: string) => Result.getOrThrow(parseConfigFile(path, text))

const database = "postgresql://USER:PASSWORD@HOST:5432/DATABASE, with ?sslmode=verify-full over a network"
const queue = "redis://:PASSWORD@HOST:6380, or rediss://:PASSWORD@HOST:6380 over a network"
const object = 'write {"tier": "local"} or another JSON object'

/** The text of the file, where the fault is, the fault, the remedy. */
type Case = readonly [text: string, place: string, problem: string, remedy: string]

const malformed: ReadonlyArray<Case> = [
  ["", "1:1", "the file ends too early", "complete the JSON object: a quote or brace is not closed"],
  [
    '{\n  "tier": "local"\n',
    "2:18",
    "the file ends too early",
    "complete the JSON object: a quote or brace is not closed"
  ],
  ['{\n  // here\n  "tier": "local"\n}', "2:3", "comments are not allowed in JSON", "remove the comment"],
  ['{\n  "tier": "local" # here\n}', "2:19", "comments are not allowed in JSON", "remove the comment"],
  [
    '{\n  "tier": "local",\n}',
    "3:1",
    "a comma stands before the closing brace",
    "remove the comma at the end of the list"
  ],
  ["{\n  'tier': 1}", "2:3", "a single quote stands here", "put keys and values in double quotes"],
  [
    '{"tier": "local"\n"queue": "x"}',
    "2:1",
    "a string is not expected here",
    "put a comma after the line above"
  ],
  [
    "{\n  tier: 1}",
    "2:3",
    "this is not JSON (RFC 8259)",
    "put keys and values in double quotes, one colon between"
  ],
  [
    '{"queue": hunter2}',
    "1:11",
    "this is not JSON (RFC 8259)",
    "put keys and values in double quotes, one colon between"
  ],
  ["[1]", "1:1", "the file holds an array, not an object", object],
  ['"hunter2"', "1:1", "the file holds a single value, not an object", object],
  ["{}}", "1:3", "} is not expected here", object],
  [
    '{\n  "tier": "local",\n  "tier": "local"\n}',
    "3:3",
    'the key "tier" stands here again, after line 2',
    'remove one of the two values of "tier"'
  ],
  [
    '{\n  "tier": "local",\n  "ti\\u0065r": "local"\n}',
    "3:3",
    'the key "tier" stands here again, after line 2',
    'remove one of the two values of "tier"'
  ],
  ["[".repeat(200_000), "1:1", "[ is not expected here", object]
]

const values: ReadonlyArray<readonly [...Case, key: string]> = [
  ["{}", "1:1", "it is missing", '"local" or "federated"', "tier"],
  ['{\n  "tier": "global"}', "2:11", 'there is no tier "global"', '"local" or "federated"', "tier"],
  ['{\n  "tier": null}', "2:11", "it is null", '"local" or "federated"', "tier"],
  [
    '{"tier": "local",\n "database": 5433}',
    "2:14",
    "it is a number, not a URL in a string",
    database,
    "database"
  ],
  ['{"tier": "local",\n "database": "hunter2"}', "2:14", "it is not a URL", database, "database"],
  [
    '{"tier": "local",\n "database": "mysql://u:hunter2@h/d"}',
    "2:14",
    "the scheme is mysql, not postgresql",
    database,
    "database"
  ],
  [
    '{"tier": "local",\n "database": "postgresql://u:1/hunter2@h/d"}',
    "2:14",
    "its path is not the name of a database; write a / in a password as %2F",
    database,
    "database"
  ],
  [
    '{"tier": "local",\n "database": "postgresql://u:1#hunter2@h/d"}',
    "2:14",
    "it has a fragment; write a # in a password as %23",
    database,
    "database"
  ],
  ['{"tier": "local",\n\n "queue": []}', "3:11", "it is an array, not a URL in a string", queue, "queue"],
  [
    '{"tier": "local",\n\n "queue": "http://:hunter2@h"}',
    "3:11",
    "the scheme is http, not redis or rediss",
    queue,
    "queue"
  ],
  [
    '{"$schema": 1, "tier": "local"}',
    "1:13",
    "it is a number",
    "the address of the JSON schema, or remove it",
    "$schema"
  ]
]

describe("ConfigFile", () => {
  for (const [text, place, problem, remedy] of malformed) {
    it(`is not one JSON object: ${JSON.stringify(text.slice(0, 40))}`, () => {
      assert.deepStrictEqual(refusal(text), {
        code: "CONFIG_FILE_MALFORMED",
        message: `${path}:${place}: ${problem}`,
        remediation: `in line ${place.split(":", 1)[0] ?? ""} of ${path}, ${remedy}`
      })
    })
  }

  it("has a key that means nothing", () => {
    assert.deepStrictEqual(refusal('{\n  "tier": "local",\n  "databse": "hunter2"\n}'), {
      code: "CONFIG_KEY_UNKNOWN",
      message: `${path}:3:3: there is no key "databse"; did you mean "database"?`,
      remediation: `in line 3 of ${path}, write "database"; the keys are tier, database, queue`
    })
    assert.deepStrictEqual(refusal('{"Tier": "local"}'), {
      code: "CONFIG_KEY_UNKNOWN",
      message: `${path}:1:2: there is no key "Tier"; did you mean "tier"?`,
      remediation: `in line 1 of ${path}, write "tier"; the keys are tier, database, queue`
    })
    assert.deepStrictEqual(refusal('{"__proto__": {"tier": "local"}}'), {
      code: "CONFIG_KEY_UNKNOWN",
      message: `${path}:1:2: there is no key "__proto__"`,
      remediation: `in line 1 of ${path}, remove "__proto__"; the keys are tier, database, queue`
    })
  })

  for (const [text, place, problem, expects, key] of values) {
    it(`has a value that cannot be used: ${text}`, () => {
      assert.deepStrictEqual(refusal(text), {
        code: "CONFIG_VALUE_INVALID",
        message: `${path}:${place}: "${key}": ${problem}`,
        remediation: `in line ${place.split(":", 1)[0] ?? ""} of ${path}, set "${key}" to ${expects}`
      })
    })
  }

  it("tells what it says, and where", () => {
    const file = accepted(
      '\uFEFF{\r\n  "$schema": "./x.json",\r\n  "tier": "federated",\r\n  "database": "postgresql://m:a%2Fb@db/m",\r\n  "queue": "rediss://:pw@v:6380"\r\n}\r\n'
    )
    assert.deepStrictEqual(file.tier, { value: "federated", place: { path, line: 3, column: 11 } })
    assert.deepStrictEqual(file.database?.place, { path, line: 4, column: 15 })
    assert.strictEqual(file.database && Redacted.value(file.database.value), "postgresql://m:a%2Fb@db/m")
    assert.strictEqual(file.queue && Redacted.value(file.queue.value), "rediss://:pw@v:6380")
    assert.notInclude(JSON.stringify(file), "a%2Fb")
    assert.isNull(accepted('{"tier": "local"}').database)
  })

  it("is as docs/configuration.md shows it", () => {
    const page = readFileSync(new URL("../../../docs/configuration.md", import.meta.url), "utf8")
    const [, example = ""] = /^```json config\n([^]*?)^```$/m.exec(page) ?? []
    assert.strictEqual(accepted(example).tier.value, "federated")
    for (const key of Object.keys(ConfigFileContent.fields)) assert.include(page, `| \`${key}\` |`)
    const unknown = refusal('{\n  "tier": "local",\n  "databse": ""\n}')
    assert.include(page, `  why: ${unknown.message}\n  do:  ${unknown.remediation}\n`)
  })

  it("has a published schema with exactly these keys, which takes what the reader takes", () => {
    const published = new URL("../schema/mosaic.config.schema.json", import.meta.url)
    assert.strictEqual(readFileSync(published, "utf8"), configSchemaText)
    const { additionalProperties, properties, required } = JSON.parse(configSchemaText) as {
      readonly additionalProperties: boolean
      readonly properties: Readonly<
        Record<string, { readonly description: string; readonly pattern?: string }>
      >
      readonly required: ReadonlyArray<string>
    }
    assert.deepStrictEqual(Object.keys(properties), ["$schema", "tier", "database", "queue"])
    assert.deepStrictEqual([additionalProperties, required], [false, ["tier"]])
    for (const { description } of Object.values(properties)) assert.match(description, /\.$/)
    const pattern = new RegExp(properties["queue"]?.pattern ?? "^$", "u")
    assert.isTrue(pattern.test("rediss://h") && pattern.test("redis://h") && !pattern.test("http://h"))
    assert.isTrue(Schema.is(ConfigFileContent)({ tier: "local", queue: "redis://h" }))
  })
})
