/**
 * When something was last proved, remembered between runs in a file of MOSAIC_HOME, under a fingerprint of what it was
 * proved of. A file that cannot be read or written means that it is proved anew.
 */
import { createHash } from "node:crypto"
import { mkdir, readFile, rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { DateTime, Effect, Option, Schema } from "effect"

const Memory = Schema.Struct({
  guards: Schema.Struct({ of: Schema.String, at: Schema.DateTimeUtcFromString })
})

const Text = Schema.fromJsonString(Memory)

const decode = Schema.decodeEffect(Text)

const encode = Schema.encodeSync(Text)

const pathIn = (home: string) => join(home, "doctor.json")

export const fingerprintOf = (what: unknown): string =>
  createHash("sha256").update(JSON.stringify(what)).digest("hex")

export const lastSuccess = (home: string, of: string) =>
  Effect.tryPromise(() => readFile(pathIn(home), "utf8")).pipe(
    Effect.flatMap(decode),
    Effect.option,
    Effect.map(Option.filter(({ guards }) => guards.of === of)),
    Effect.map(Option.map(({ guards }) => guards.at))
  )

export const rememberSuccess = Effect.fnUntraced(function* (home: string, of: string) {
  const text = encode({ guards: { of, at: yield* DateTime.now } })
  const path = pathIn(home)
  const draft = `${path}.${process.pid}`
  yield* Effect.tryPromise(async () => {
    await mkdir(home, { recursive: true, mode: 0o700 })
    await writeFile(draft, text, { mode: 0o600 })
    await rename(draft, path)
  }).pipe(Effect.ignore)
})
