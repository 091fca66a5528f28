/** The other gateway, as far as this quickstart needs one: it makes its own key, with a tool that is not ours. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { Effect } from "effect"
import type { QuickstartPaths } from "./QuickstartPaths.ts"

const run = promisify(execFile)

/** The key stays with the peer; only the CSR is ever sent. */
export const makeKeyAndCsr = Effect.fn("Peer.makeKeyAndCsr")(function* (
  step: string,
  grantId: GrantId,
  paths: QuickstartPaths
) {
  const key = ["--kty", "EC", "--curve", "P-256", "--no-password", "--insecure"]
  const names = ["--san", `urn:uuid:${grantId}`]
  yield* Effect.promise(() =>
    run(
      step,
      ["certificate", "create", "--csr", ...key, ...names, "--force", grantId, paths.csr, paths.key],
      {
        env: { PATH: process.env["PATH"], STEPPATH: paths.directory }
      }
    )
  )
  return readFileSync(paths.csr, "utf8")
})
