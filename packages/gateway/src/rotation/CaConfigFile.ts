/** The provisioners in the ca.json of a step-ca. What else is in the file is kept as it is. */
import { readFileSync } from "node:fs"
import type { OutputUnwritable } from "@mosaic-federation/domain/CommandErrors"
import { CaConfigUnusable } from "@mosaic-federation/domain/RotationErrors"
import { Effect, Option, Schema } from "effect"
import { replaceFile } from "./replaceFile.ts"

const fields = Schema.Record(Schema.String, Schema.Unknown)

const Provisioner = Schema.StructWithRest(
  Schema.Struct({
    type: Schema.String,
    name: Schema.String,
    key: Schema.optionalKey(Schema.StructWithRest(Schema.Struct({ kid: Schema.String }), [fields]))
  }),
  [fields]
)

export type CaProvisioner = typeof Provisioner.Type

const CaConfig = Schema.StructWithRest(
  Schema.Struct({
    authority: Schema.StructWithRest(Schema.Struct({ provisioners: Schema.Array(Provisioner) }), [fields])
  }),
  [fields]
)

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(CaConfig))

const read = (path: string) =>
  Effect.gen(function* () {
    const text = yield* Effect.try({
      try: () => readFileSync(path, "utf8"),
      catch: (error) =>
        new CaConfigUnusable({
          path,
          problem: `cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`
        })
    })
    const config = decode(text)
    if (Option.isNone(config)) {
      return yield* new CaConfigUnusable({ path, problem: "is not the JSON of a CA with provisioners" })
    }
    return config.value
  })

/** step-ca looks for a provisioner by its name alone, whatever its type. */
export const named = (provisioners: ReadonlyArray<CaProvisioner>, name: string) =>
  provisioners.find((one) => one.name === name)

export const readProvisioners = (
  path: string
): Effect.Effect<ReadonlyArray<CaProvisioner>, CaConfigUnusable> =>
  Effect.map(read(path), ({ authority }) => authority.provisioners)

/** Writes nothing where nothing changes. */
export const changeProvisioners = (
  path: string,
  change: (provisioners: ReadonlyArray<CaProvisioner>) => ReadonlyArray<CaProvisioner>
): Effect.Effect<void, CaConfigUnusable | OutputUnwritable> =>
  Effect.gen(function* () {
    const config = yield* read(path)
    const { provisioners } = config.authority
    const changed = change(provisioners)
    if (JSON.stringify(changed) === JSON.stringify(provisioners)) return
    const next = { ...config, authority: { ...config.authority, provisioners: changed } }
    // As step writes it.
    yield* replaceFile(path, `${JSON.stringify(next, null, "\t")}\n`)
  })
