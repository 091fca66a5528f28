/**
 * Healthy means: the gateway answers under its own certificate, from the pinned root, that it is ready: its database and
 * its CA are there. A gateway that drains is not healthy, and one without Valkey is: it goes on, slower.
 */
import { readFileSync } from "node:fs"
import { request as requestPlain } from "node:http"
import { request as requestTls } from "node:https"
import { checkServerIdentity } from "node:tls"

const set = (variable, standard) => {
  const value = process.env[variable] ?? ""
  return value === "" ? standard : value
}

const fail = (why) => {
  process.stderr.write(`healthcheck.mjs: ${why}\n`)
  process.exit(1)
}

const [name] = set("MOSAIC_GATEWAY_NAMES", "localhost").split(/[, ]+/)
const port = /:(\d+)$/.exec(set("MOSAIC_LISTEN", "0.0.0.0:8443"))?.[1]
const options = { host: "127.0.0.1", port, path: "/readyz", agent: false, timeout: 4000 }

const withTls = () => ({
  ...options,
  ca: readFileSync(set("STEP_CA_ROOT_CERT_PATH", "/gateway/root_ca.crt")),
  // Asked by its address and known by its name.
  checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate)
})

const answered = (response) => {
  let text = ""
  response.setEncoding("utf8")
  response.on("data", (chunk) => (text += chunk))
  response.on("end", () => {
    if (response.statusCode !== 200) fail(`GET /readyz: ${response.statusCode} ${text}`)
  })
}

try {
  const plain = set("MOSAIC_PLAIN_HTTP", "false") === "true"
  const request = plain ? requestPlain(options, answered) : requestTls(withTls(), answered)
  request.on("timeout", () => fail("GET /readyz: no answer within 4 s"))
  request.on("error", (error) => fail(`GET /readyz: ${error.message}`))
  request.end()
} catch (error) {
  fail(error.message)
}
