/** What a test may do with a PostgreSQL or a Valkey of the federated tier, by where it comes from. */
import { type Effect, type Redacted, Schema } from "effect"
import type { ServerIdentity } from "./TestPki.ts"

export interface FederatedOptions {
  /** With it, both servers speak TLS with this certificate: `sslmode=verify-full`, `rediss://`. */
  readonly tls?: ServerIdentity
  /** A database without the extension, as before the first boot of the stack. */
  readonly withoutVector?: boolean
  /** Random ones by default. */
  readonly passwords?: { readonly postgres: Redacted.Redacted; readonly valkey: Redacted.Redacted }
}

export interface DataServer {
  readonly host: string
  readonly port: number
  readonly password: Redacted.Redacted
  /** `postgresql:` or, for Valkey, `redis:`, `rediss:` with TLS. */
  readonly url: Redacted.Redacted
}

export interface DataPostgres extends DataServer {
  /** What psql prints, rows without decoration; a failing statement is a defect. */
  readonly exec: (sql: string) => Effect.Effect<string>
}

export interface DataValkey extends DataServer {
  /** What valkey-cli prints. */
  readonly command: (...words: ReadonlyArray<string>) => Effect.Effect<string>
}

/** A server of the test's own. */
interface Controlled {
  readonly start: Effect.Effect<void>
  /** As an operator stops it: connections are closed, the data is safe. */
  readonly stop: Effect.Effect<void>
  readonly kill9: Effect.Effect<void>
  /** It keeps its connections and answers nothing. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
}

export interface FederatedPostgres extends DataPostgres, Controlled {}

export interface FederatedValkey extends DataValkey, Controlled {}

/** A process of this machine. */
interface Native {
  readonly pid: () => number | undefined
  readonly logPath: string
  /** Runs a script beside the server, as its image would, and whatever comes of it. */
  readonly script: (path: string, env?: Readonly<Record<string, string>>) => Effect.Effect<ScriptEnded>
}

export interface NativePostgres extends FederatedPostgres, Native {}

export interface NativeValkey extends FederatedValkey, Native {}

export interface ScriptEnded {
  readonly code: number | null
  readonly output: string
}

export class FederatedPartFailed extends Schema.TaggedError<FederatedPartFailed>()("FederatedPartFailed", {
  doing: Schema.String,
  output: Schema.String
}) {
  override get message() {
    return `${this.doing} failed:\n${this.output}`
  }
}
