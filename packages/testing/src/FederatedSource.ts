/**
 * Where tests get PostgreSQL 17 with pgvector and Valkey 8: the compose stack where a container engine answers, else a
 * Debian 13 root, else the servers that the environment names. Making them is left to `FederatedParts`.
 */
import { spawnSync } from "node:child_process"
import { Schema } from "effect"
import { debianRootDirectory, debianRootObstacle } from "./DebianRoot.ts"
import { onPath } from "./GoToolchain.ts"

export const FederatedSource = Schema.Literals(["compose", "debian", "urls"])
export type FederatedSource = typeof FederatedSource.Type

/**
 * What a test does with its servers. `data`: it reads and writes. `control`: it also stops, kills and starts them.
 * `native`: it runs scripts beside them or has them speak TLS, without an engine.
 */
export type FederatedNeed = "data" | "control" | "native"

const sources: Readonly<Record<FederatedNeed, ReadonlyArray<FederatedSource>>> = {
  data: ["compose", "debian", "urls"],
  control: ["compose", "debian"],
  native: ["debian"]
}

const answers = (file: string, args: ReadonlyArray<string>) =>
  spawnSync(file, args, { stdio: "ignore", timeout: 5_000 }).status === 0

const composeObstacle = (): string | undefined => {
  if (onPath("docker").length === 0) return "docker is not on PATH"
  if (!answers("docker", ["compose", "version"])) return "docker has no compose plugin"
  return answers("docker", ["version"]) ? undefined : "no container engine answers"
}

/** valkey-cli and redis-cli take the same words. */
export const valkeyClient = (): string | undefined => ["valkey-cli", "redis-cli"].flatMap(onPath)[0]

/** Each is empty where it is not set. */
export const givenUrls = () => ({
  MOSAIC_TEST_DATABASE_URL: process.env["MOSAIC_TEST_DATABASE_URL"] ?? "",
  MOSAIC_TEST_REDIS_URL: process.env["MOSAIC_TEST_REDIS_URL"] ?? ""
})

const urlsObstacle = (): string | undefined => {
  const unset = Object.entries(givenUrls()).flatMap(([name, value]) => (value === "" ? [name] : []))
  if (unset.length > 0) return `${unset.join(" and ")} not set`
  if (onPath("psql").length === 0) return "psql is not on PATH"
  return valkeyClient() === undefined ? "neither valkey-cli nor redis-cli is on PATH" : undefined
}

/** Why a source cannot be used, each; undefined where it can. */
export type FederatedObstacles = Readonly<Record<FederatedSource, string | undefined>>

const obstaclesHere = (): FederatedObstacles => ({
  compose: composeObstacle(),
  debian: debianRootObstacle(),
  urls: urlsObstacle()
})

export const describeFederatedSource = (source: FederatedSource): string =>
  ({
    compose: "docker-compose.federated.yml, in projects of the tests' own",
    debian: `a Debian 13 root: ${debianRootDirectory()}`,
    urls: "the servers of MOSAIC_TEST_DATABASE_URL and MOSAIC_TEST_REDIS_URL"
  })[source]

export interface FederatedSources {
  /** Those that promise to work, best first. */
  readonly usable: ReadonlyArray<FederatedSource>
  /** Why the others cannot be used, one line. */
  readonly obstacles: string
}

export const federatedSources = (
  need: FederatedNeed,
  found: FederatedObstacles = obstaclesHere()
): FederatedSources => ({
  usable: sources[need].filter((source) => found[source] === undefined),
  obstacles: sources[need].flatMap((source) => found[source] ?? []).join("; ")
})

const remedies: Readonly<Record<FederatedSource, string>> = {
  compose: "start a container engine with the compose plugin",
  debian: "or as root on Debian: apt-get install debootstrap",
  urls: "or set MOSAIC_TEST_DATABASE_URL and MOSAIC_TEST_REDIS_URL"
}

/** One line. */
export const howToGetFederatedParts = (need: FederatedNeed): string =>
  sources[need]
    .map((source) => remedies[source])
    .join(", ")
    .replace(/^or /, "")

export class FederatedPartsMissing extends Schema.TaggedError<FederatedPartsMissing>()(
  "FederatedPartsMissing",
  {
    reason: Schema.String,
    remedy: Schema.String
  }
) {
  override get message() {
    return `no PostgreSQL 17 with pgvector and no Valkey 8 for tests: ${this.reason}. To have them: ${this.remedy}.`
  }
}
