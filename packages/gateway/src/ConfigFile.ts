/**
 * Reads `mosaic.config.json`: JSON as RFC 8259 has it, so no comments and no trailing commas, each key once. Whatever
 * is wrong is told with its file, line, key and remedy. What the environment overrides is left to `GatewayConfig`.
 */
import { type MemberNode, type ObjectNode, parse, type ValueNode } from "@humanwhocodes/momoa"
import {
  ConfigFileMalformed,
  ConfigKeyUnknown,
  ConfigValueInvalid
} from "@mosaic-federation/domain/ConfigurationErrors"
import { databaseUrlForm, parseDatabaseUrl } from "@mosaic-federation/issuance/DatabaseUrl"
import { Redacted, Result, Schema } from "effect"
import { closest, distance } from "fastest-levenshtein"
import { parseQueueUrl, queueUrlForm } from "./QueueUrl.ts"
import { Tier } from "./Tier.ts"

/** The name that is looked for in the working directory. */
export const configFileName = "mosaic.config.json"

/** The keys; the published JSON schema is made of this. */
export const ConfigFileContent = Schema.Struct({
  $schema: Schema.optionalKey(
    Schema.String.annotate({ description: "The JSON schema of this file, for editors; it is not read." })
  ),
  tier: Tier.annotate({
    description:
      "local: one gateway on this machine, nothing shared. federated: any number of replicas that share PostgreSQL and Valkey, both of which must be set."
  }),
  database: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(/^postgres(ql)?:\/\//u)).annotate({
      description:
        "PostgreSQL 17, as a libpq URI: postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full. DATABASE_URL overrides it.",
      examples: ["postgresql://mosaic@db.example:5432/mosaic?sslmode=verify-full"]
    })
  ),
  queue: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(/^rediss?:\/\//u)).annotate({
      description: "Valkey 8: redis://:PASSWORD@HOST:6380, or rediss:// for TLS. REDIS_URL overrides it.",
      examples: ["rediss://valkey.example:6380"]
    })
  )
}).annotate({
  title: "mosaic.config.json",
  description: "The configuration file of Mosaic Federation"
})

type Key = keyof typeof ConfigFileContent.fields

/** A position in the file, from 1. */
interface Place {
  readonly path: string
  readonly line: number
  readonly column: number
}

/** A value as the file has it, and where. */
export interface Placed<A> {
  readonly value: A
  readonly place: Place
}

export interface ConfigFile {
  readonly path: string
  readonly tier: Placed<Tier>
  readonly database: Placed<Redacted.Redacted> | null
  readonly queue: Placed<Redacted.Redacted> | null
}

export type ConfigFileError = ConfigFileMalformed | ConfigKeyUnknown | ConfigValueInvalid

const keys = Object.keys(ConfigFileContent.fields) as ReadonlyArray<Key>

const isKey = (text: string): text is Key => keys.some((key) => key === text)

/** `$schema` is nothing that a reader of an error would look for. */
const shownKeys = keys.filter((key) => key !== "$schema")

const isTier = Schema.is(Tier)

const tierForm = Tier.literals.map((tier) => JSON.stringify(tier)).join(" or ")

/** What may have been meant, where up to a third of it is mistyped. */
const suggestionFor = (given: string): string | null => {
  const best = closest(given.toLowerCase(), shownKeys)
  return distance(given.toLowerCase(), best) <= Math.ceil(best.length / 3) ? best : null
}

const placeOf = (path: string, { loc }: Pick<ValueNode, "loc">): Place => ({
  path,
  line: loc.start.line,
  column: loc.start.column
})

/** What people write who take the file for a dialect of JSON; of the text itself one character is the most to show. */
const problemAt = (text: string, offset: number): { readonly problem: string; readonly remedy: string } => {
  const found = text[offset]
  const before = text.slice(0, offset).trimEnd().at(-1)
  if (found === undefined || text.slice(offset).trim() === "")
    return {
      problem: "the file ends too early",
      remedy: "complete the JSON object: a quote or brace is not closed"
    }
  if (found === "/" || found === "#")
    return { problem: "comments are not allowed in JSON", remedy: "remove the comment" }
  if ((found === "}" || found === "]") && before === ",")
    return {
      problem: "a comma stands before the closing brace",
      remedy: "remove the comma at the end of the list"
    }
  if (found === "'")
    return { problem: "a single quote stands here", remedy: "put keys and values in double quotes" }
  if (found === '"')
    return { problem: "a string is not expected here", remedy: "put a comma after the line above" }
  if (/[{}[\]:,]/.test(found))
    return {
      problem: `${found} is not expected here`,
      remedy: `write {"tier": "local"} or another JSON object`
    }
  return {
    problem: "this is not JSON (RFC 8259)",
    remedy: "put keys and values in double quotes, one colon between"
  }
}

const locationOf = (error: unknown) => {
  const { column, line, offset } = error as { column?: unknown; line?: unknown; offset?: unknown }
  return typeof line === "number" && typeof column === "number" && typeof offset === "number"
    ? { line, column, offset }
    : { line: 1, column: 1, offset: 0 }
}

const readObject = (path: string, text: string): Result.Result<ObjectNode, ConfigFileMalformed> => {
  const parsed = Result.try({
    try: () => parse(text, { mode: "json" }).body,
    catch: (error) => {
      const { column, line, offset } = locationOf(error)
      return new ConfigFileMalformed({ path, line, column, ...problemAt(text, offset) })
    }
  })
  return Result.flatMap(parsed, (body) =>
    body.type === "Object"
      ? Result.succeed(body)
      : Result.fail(
          new ConfigFileMalformed({
            ...placeOf(path, body),
            problem: `the file holds ${body.type === "Array" ? "an array" : "a single value"}, not an object`,
            remedy: `write {"tier": "local"} or another JSON object`
          })
        )
  )
}

const nameOf = ({ name }: MemberNode): string => (name.type === "String" ? name.value : name.name)

const readMembers = (
  path: string,
  { members }: ObjectNode
): Result.Result<ReadonlyMap<Key, ValueNode>, ConfigFileMalformed | ConfigKeyUnknown> => {
  const found = new Map<Key, MemberNode>()
  for (const member of members) {
    const key = nameOf(member)
    if (!isKey(key)) {
      return Result.fail(
        new ConfigKeyUnknown({
          ...placeOf(path, member.name),
          key,
          suggestion: suggestionFor(key),
          known: shownKeys
        })
      )
    }
    const first = found.get(key)
    if (first !== undefined) {
      return Result.fail(
        new ConfigFileMalformed({
          ...placeOf(path, member.name),
          problem: `the key ${JSON.stringify(key)} stands here again, after line ${first.loc.start.line}`,
          remedy: `remove one of the two values of ${JSON.stringify(key)}`
        })
      )
    }
    found.set(key, member)
  }
  return Result.succeed(new Map([...found].map(([key, { value }]) => [key, value])))
}

const typeNames: Readonly<Record<string, string>> = {
  Array: "an array",
  Boolean: "true or false",
  Null: "null",
  Number: "a number",
  Object: "an object"
}

const readUrl = (
  path: string,
  key: Key,
  node: ValueNode | undefined,
  check: (text: Redacted.Redacted) => Result.Result<unknown, string>,
  expects: string
): Result.Result<Placed<Redacted.Redacted> | null, ConfigValueInvalid> => {
  if (node === undefined) return Result.succeed(null)
  const place = placeOf(path, node)
  const invalid = (problem: string) => new ConfigValueInvalid({ ...place, key, problem, expects })
  if (node.type !== "String")
    return Result.fail(invalid(`it is ${typeNames[node.type] ?? "no string"}, not a URL in a string`))
  const value = Redacted.make(node.value)
  return Result.mapBoth(check(value), { onSuccess: () => ({ value, place }), onFailure: invalid })
}

const readTier = (
  path: string,
  whole: ObjectNode,
  node: ValueNode | undefined
): Result.Result<Placed<Tier>, ConfigValueInvalid> => {
  const place = placeOf(path, node ?? whole)
  const invalid = (problem: string) =>
    Result.fail(new ConfigValueInvalid({ ...place, key: "tier", problem, expects: tierForm }))
  if (node === undefined) return invalid("it is missing")
  if (node.type !== "String") return invalid(`it is ${typeNames[node.type] ?? "no string"}`)
  return isTier(node.value)
    ? Result.succeed({ value: node.value, place })
    : invalid(`there is no tier ${JSON.stringify(node.value)}`)
}

/** `path` is what errors call the file. */
export const parseConfigFile = (path: string, text: string): Result.Result<ConfigFile, ConfigFileError> =>
  Result.gen(function* () {
    // RFC 8259 §8.1: a parser may ignore a byte order mark, and editors on Windows write one.
    const whole = yield* readObject(path, text.replace(/^\uFEFF/, ""))
    const members = yield* readMembers(path, whole)
    const schema = members.get("$schema")
    if (schema !== undefined && schema.type !== "String") {
      return yield* Result.fail(
        new ConfigValueInvalid({
          ...placeOf(path, schema),
          key: "$schema",
          problem: `it is ${typeNames[schema.type] ?? "no string"}`,
          expects: "the address of the JSON schema, or remove it"
        })
      )
    }
    return {
      path,
      tier: yield* readTier(path, whole, members.get("tier")),
      database: yield* readUrl(path, "database", members.get("database"), parseDatabaseUrl, databaseUrlForm),
      queue: yield* readUrl(path, "queue", members.get("queue"), parseQueueUrl, queueUrlForm)
    }
  })
