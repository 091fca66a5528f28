/** docs/api.md names every endpoint of the contract, every setting of the server with its default, and every metric. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { serverDefaults } from "@mosaic-federation/gateway/server/ServerConfig"
import * as IssuanceMetrics from "@mosaic-federation/issuance/IssuanceMetrics"
import * as Metrics from "@mosaic-federation/gateway/server/Metrics"
import { Metric } from "effect"
import { contractRows } from "./support/authorizationTable.ts"

const page = readFileSync(fileURLToPath(new URL("../../../docs/api.md", import.meta.url)), "utf8")

const rows = page.split("\n").filter((line) => line.startsWith("| "))

describe("docs/api.md", () => {
  it("has a row for every endpoint of the contract, and no other", () => {
    const shown = rows.flatMap((row) => /^\| `((?:GET|POST|PATCH|DELETE) \S+)` \|/.exec(row)?.[1] ?? [])
    const pages = new Set(["/docs", "/docs/errors", "/openapi.json"])
    const served = contractRows().filter(({ path }) => !pages.has(path))
    assert.sameMembers(
      shown,
      served.map(({ method, path }) => `${method} ${path}`)
    )
  })

  it("has every setting of the server, with its default", () => {
    for (const [variable, standard] of Object.entries(serverDefaults)) {
      const found = rows.some((row) => row.includes(`\`${variable}\``) && row.includes(standard))
      assert.isTrue(found, variable)
    }
  })

  it("has every metric", () => {
    const missing = Object.values({ ...Metrics, ...IssuanceMetrics }).flatMap((metric) =>
      Metric.isMetric(metric) && !page.includes(`\`${metric.id}\``) ? [metric.id] : []
    )
    assert.deepStrictEqual(missing, [])
  })

  it("has every step of an issuance that is timed", () => {
    const missing = IssuanceMetrics.timedSteps.filter((step) => !page.includes(`\`${step}\` (`))
    assert.deepStrictEqual(missing, [])
  })
})
