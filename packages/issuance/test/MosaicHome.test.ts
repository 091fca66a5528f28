import { homedir } from "node:os"
import { resolve } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import { mosaicHome } from "../src/MosaicHome.ts"

const under = (env: Record<string, string>) =>
  mosaicHome.pipe(
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
    Effect.provide(NodeFileSystem.layer)
  )

describe("MosaicHome", () => {
  for (const [env, expected] of [
    [{ MOSAIC_HOME: "/srv/mosaic", XDG_DATA_HOME: "/data" }, "/srv/mosaic"],
    [{ MOSAIC_HOME: ".mosaic" }, resolve(".mosaic")],
    [{ XDG_DATA_HOME: "/data" }, "/data/mosaic"],
    [{ XDG_DATA_HOME: "data" }, `${homedir()}/.local/share/mosaic`],
    [{ MOSAIC_HOME: "", XDG_DATA_HOME: "" }, `${homedir()}/.local/share/mosaic`],
    [{}, `${homedir()}/.local/share/mosaic`]
  ] as const) {
    it.effect(`is ${expected} under ${JSON.stringify(env)}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* under(env), expected)
      })
    )
  }
})
