import { PinnedHttpClient } from "../src/PinnedHttpClient.ts"
import { NodeHttpClient } from "@effect/platform-node"
import { HttpClient, HttpClientRequest, HttpBody } from "effect/http"
import { Effect, Exit, Scope } from "effect"
import { Agent } from "undici"
import { readFileSync } from "node:fs"
const ca = readFileSync("/tmp/pin/root.pem", "utf8")
const origin = "https://127.0.0.1:19443"
const body = { csr: "x".repeat(500), ott: "y".repeat(700), notAfter: "2026-01-01T00:00:00Z" }
const conc = Number(process.argv[2] ?? 16),
  n = Number(process.argv[3] ?? 15000)
const opts = {
  connections: 16,
  pipelining: 1,
  allowH2: false,
  keepAliveTimeout: 10_000,
  maxResponseSize: 1 << 20,
  connect: { ca }
} as const
const bare = new Agent(opts)
const bareOne = async () => {
  const r = await bare.request({
    origin,
    path: "/1.0/sign",
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body)
  })
  const t = await r.body.text()
  return JSON.parse(t)
}
const scope = Effect.runSync(Scope.make())
const disp = await Effect.runPromise(Scope.provide(NodeHttpClient.makeDispatcherOptions(opts), scope))
const hc = await Effect.runPromise(
  NodeHttpClient.makeUndici.pipe(Effect.provideService(NodeHttpClient.Dispatcher, disp))
)
const effOne = Effect.gen(function* () {
  const r = yield* hc.execute(
    HttpClientRequest.post(origin + "/1.0/sign", {
      body: HttpBody.jsonUnsafe(body),
      headers: { accept: "application/json" }
    })
  )
  return yield* r.json
})
const pc = await Effect.runPromise(
  Scope.provide(PinnedHttpClient.make({ baseUrl: new URL(origin), rootsPem: [ca] }), scope)
)
const pinOne = pc.request({ method: "POST", path: "/1.0/sign", body })
const runBare = async (n: number) => {
  let left = n
  await Promise.all(
    Array.from({ length: conc }, async () => {
      while (left-- > 0) await bareOne()
    })
  )
}
const runEff = (e: Effect.Effect<unknown, unknown>) => (n: number) => {
  let left = n
  return Effect.runPromise(
    Effect.all(
      Array.from({ length: conc }, () =>
        Effect.gen(function* () {
          while (left-- > 0) yield* e
        })
      ),
      { concurrency: "unbounded", discard: true }
    )
  )
}
const cases = {
  bare: runBare,
  effect: runEff(effOne),
  effectTimeout: runEff(effOne.pipe(Effect.timeout("10 seconds"))),
  effectNoTrace: runEff(effOne.pipe(Effect.provideService(HttpClient.TracerDisabledWhen, () => true))),
  pinned: runEff(pinOne)
}
for (const f of Object.values(cases)) await f(1500)
for (let round = 0; round < 3; round++)
  for (const [name, f] of Object.entries(cases)) {
    const c = process.cpuUsage(),
      t = performance.now()
    await f(n)
    const u = process.cpuUsage(c),
      ms = performance.now() - t
    console.log(
      name.padEnd(14),
      ((u.user + u.system) / n).toFixed(1),
      "us CPU/req",
      ((n / ms) * 1000).toFixed(0),
      "req/s"
    )
  }
await Effect.runPromise(Scope.close(scope, Exit.void))
await bare.destroy()
