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

  it.effect("is nothing that Node would try to make for ever", () =>
    Effect.gen(function* () {
      for (const home of ["/proc", "/proc/x", "/proc/self/x/y"]) {
        const error = yield* Effect.flip(under({ MOSAIC_HOME: home }))
        assert.deepStrictEqual(
          [error.code, error.message, error.remediation],
          [
            "CONFIG_INVALID",
            `MOSAIC_HOME: no directory can be made at ${home}, which is in the file system of processes`,
            "set MOSAIC_HOME to a directory that this user can make or write in"
          ]
        )
      }
    })
  )
})
