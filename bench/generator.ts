/**
 * The load generator as a process of its own, so that its CPU is nobody else's: reads one job from stdin, sends its
 * requests over as many connections as it says, all of them open before the clock starts, and prints the result.
 */
import { Agent, request } from "node:https"
import { text } from "node:stream/consumers"
import { load } from "./load.ts"

export interface LoadJob {
  /** Origin of the server. */
  readonly url: string
  readonly rootPem: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** One request each, sent as JSON. */
  readonly bodies: ReadonlyArray<string>
  readonly connections: number
  /** Asked for once on each connection before the clock starts. */
  readonly warmUpPath: string
}

const job = JSON.parse(await text(process.stdin)) as LoadJob

const agent = new Agent({ keepAlive: true, maxSockets: job.connections, ca: job.rootPem })

const send = (method: "GET" | "POST", path: string, body: string | undefined, expected: number) =>
  new Promise<void>((resolve, reject) => {
    const url = new URL(path, job.url)
    const headers =
      body === undefined
        ? job.headers
        : { ...job.headers, "content-type": "application/json", "content-length": Buffer.byteLength(body) }
    const asked = request(url, { method, agent, headers }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", reject)
      response.on("end", () => {
        if (response.statusCode === expected) return resolve()
        const said = Buffer.concat(chunks).toString("utf8").slice(0, 400)
        reject(new Error(`${method} ${url.href}: ${response.statusCode}: ${said}`))
      })
    })
    asked.on("error", reject)
    asked.end(body)
  })

await Promise.all(Array.from({ length: job.connections }, () => send("GET", job.warmUpPath, undefined, 200)))
const result = await load(job.bodies, job.connections, (body) => send("POST", job.path, body, 201))
agent.destroy()
process.stdout.write(`${JSON.stringify(result)}\n`)
