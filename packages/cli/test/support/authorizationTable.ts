/** The table of docs/federation/authorization.md, as the contract has it. */
import {
  Access,
  type AccessRule,
  includesScope,
  type OperatorScope
} from "@mosaic-federation/domain/api/Access"
import { GatewayApi } from "@mosaic-federation/domain/api/GatewayApi"
import { Context } from "effect"
import { HttpApi } from "effect/http-api"

export const credentials = [
  "nobody",
  "enrollment token",
  "peer certificate",
  "read",
  "issue",
  "admin"
] as const

export type Credential = (typeof credentials)[number]

export interface Row {
  readonly method: string
  readonly path: string
  readonly cells: Readonly<Record<Credential, string>>
}

const isScope = (credential: Credential): credential is OperatorScope =>
  credential === "read" || credential === "issue" || credential === "admin"

const cellOf = (rule: AccessRule, credential: Credential): string => {
  switch (rule._tag) {
    case "Open":
      return "yes"
    case "Operator":
      if (isScope(credential)) return includesScope(credential, rule.scope) ? "yes" : "SCOPE_INSUFFICIENT"
      return credential === "enrollment token" ? "API_KEY_UNKNOWN" : "AUTHENTICATION_REQUIRED"
    case "EnrollmentToken":
      return credential === "enrollment token" ? "yes" : "ENROLLMENT_TOKEN_MALFORMED"
    case "PeerCertificate":
      return credential === "peer certificate" ? "yes" : "PEER_CERTIFICATE_MISSING"
  }
}

const rowOf = (method: string, path: string, rule: AccessRule): Row => ({
  method,
  path,
  cells: Object.fromEntries(
    credentials.map((credential) => [credential, cellOf(rule, credential)])
  ) as Row["cells"]
})

/** Pages that are not of the contract. */
const pages = ["/docs", "/docs/errors", "/openapi.json"].map((path) => rowOf("GET", path, { _tag: "Open" }))

export const contractRows = (): ReadonlyArray<Row> => {
  const rows: Array<Row> = []
  HttpApi.reflect(GatewayApi, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint, mergedAnnotations }) => {
      const rule = Context.getOrUndefined(mergedAnnotations, Access)
      if (rule === undefined) throw new Error(`${endpoint.path} does not say who may call it`)
      rows.push(rowOf(endpoint.method, endpoint.path, rule))
    }
  })
  return [...rows, ...pages]
}

export const tableLines = (): ReadonlyArray<string> =>
  contractRows().map(
    ({ cells, method, path }) =>
      `| \`${method} ${path}\` | ${credentials.map((one) => (cells[one] === "yes" ? "yes" : `\`${cells[one]}\``)).join(" | ")} |`
  )
