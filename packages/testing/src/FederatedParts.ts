/**
 * PostgreSQL 17 with pgvector and Valkey 8 for one test, of whichever source this machine has (`FederatedSource`): the
 * compose stack, a Debian root, or servers that the environment names. None outlives the test.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import type { DebianRootMissing } from "./DebianRoot.ts"
import {
  type FederatedNeed,
  FederatedPartsMissing,
  type FederatedSource,
  federatedSources,
  howToGetFederatedParts
} from "./FederatedSource.ts"
import type {
  DataPostgres,
  DataValkey,
  FederatedOptions,
  FederatedPartFailed,
  FederatedPostgres,
  FederatedValkey,
  NativePostgres,
  NativeValkey
} from "./FederatedServer.ts"
import { composePostgres, composeValkey } from "./internal/composeParts.ts"
import { debianPostgres, debianValkey } from "./internal/debianParts.ts"
import { givenPostgres, givenValkey } from "./internal/givenParts.ts"
import { CurrentProgress } from "./Progress.ts"
type Failure = DebianRootMissing | FederatedPartFailed | FederatedPartsMissing

type Making<A> = Effect.Effect<A, Failure, Scope.Scope>

/** From the first of the sources that can be used; where its servers do not start, from the next. */
const fromBest = <A>(
  need: FederatedNeed,
  makers: Readonly<Partial<Record<FederatedSource, Making<A>>>>
): Making<A> => {
  const { obstacles, usable } = federatedSources(need)
  const missing: Making<A> = Effect.fail(
    new FederatedPartsMissing({ reason: obstacles, remedy: howToGetFederatedParts(need) })
  )
  return usable.reduceRight<Making<A>>((next, source, index) => {
    const making = makers[source]
    if (making === undefined) return next
    if (index === usable.length - 1) return making
    return making.pipe(
      Effect.catch((error) =>
        CurrentProgress.use(({ say }) => {
          say(`${source}: ${error.message}`)
          return next
        })
      )
    )
  }, missing)
}

const both = <P, V>(postgres: Making<P>, valkey: Making<V>) =>
  Effect.all({ postgres, valkey }, { concurrency: "unbounded" })

export interface FederatedPartsShape {
  readonly postgres: FederatedPostgres
  readonly valkey: FederatedValkey
}

/** The compose stack speaks no TLS of its own. */
const needOf = ({ tls }: FederatedOptions): FederatedNeed => (tls === undefined ? "control" : "native")

const postgres = (options: FederatedOptions = {}): Making<FederatedPostgres> =>
  fromBest(needOf(options), { compose: composePostgres(options), debian: debianPostgres(options) })

const valkey = (options: FederatedOptions = {}): Making<FederatedValkey> =>
  fromBest(needOf(options), { compose: composeValkey(options), debian: debianValkey(options) })

const make = (options: FederatedOptions = {}): Making<FederatedPartsShape> =>
  both(postgres(options), valkey(options))

const data: Making<{ readonly postgres: DataPostgres; readonly valkey: DataValkey }> = both(
  fromBest<DataPostgres>("data", {
    compose: composePostgres({}),
    debian: debianPostgres({}),
    urls: givenPostgres
  }),
  fromBest<DataValkey>("data", { compose: composeValkey({}), debian: debianValkey({}), urls: givenValkey })
)

const native = (
  options: FederatedOptions = {}
): Making<{ readonly postgres: NativePostgres; readonly valkey: NativeValkey }> =>
  both(debianPostgres(options), debianValkey(options))

export class FederatedParts extends Context.Service<FederatedParts, FederatedPartsShape>()(
  "@mosaic-federation/testing/FederatedParts"
) {
  /** For tests that stop, kill and start them: `federated(..., "control")`. */
  static readonly make = make
  static readonly layer = (options: FederatedOptions = {}) => Layer.effect(FederatedParts, make(options))
  static readonly postgres = postgres
  static readonly valkey = valkey
  /** For tests that read and write, on servers that may be others' as well: `federated(..., "data")`. */
  static readonly data = data
  /** For tests that run scripts beside them: `federated(..., "native")`. */
  static readonly native = native
}
