/** Keeps the quickstart's CA running for commands in another terminal, until it is interrupted. */
import { Effect } from "effect"
import { startAuthority } from "./Authority.ts"
import { CurrentPage } from "./Page.ts"
import { quickstartPaths, shown } from "./QuickstartPaths.ts"

export const keepCa = Effect.fn("KeepCa")(function* (directory: string) {
  const { line } = yield* CurrentPage
  const paths = quickstartPaths(directory)
  const { ca } = yield* startAuthority(paths)
  line(`  its log: ${shown(ca.logPath)}`)
  line(`\nIn another terminal: . ${shown(paths.env)}`)
  if (!ca.isOurs) return
  line("Ctrl-C stops it.")
  return yield* Effect.never
}, Effect.scoped)
