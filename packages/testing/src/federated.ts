/**
 * How a test file says that it needs the parts of the federated tier. Where a machine can have none, its tests are listed
 * as skipped with what to do, and fail where `MOSAIC_TEST_FEDERATED=required` says that this machine must have them.
 */
import { describe } from "@effect/vitest"
import { type FederatedNeed, federatedSources, howToGetFederatedParts } from "./FederatedSource.ts"

const isRequired = process.env["MOSAIC_TEST_FEDERATED"] === "required"

/** As `describe`. Where the parts are required and missing, the first test that makes them says why. */
export const federated = (name: string, tests: () => void, need: FederatedNeed = "control"): void => {
  const { obstacles, usable } = federatedSources(need)
  const skips = usable.length === 0 && !isRequired
  const title = skips ? `${name}: skipped, ${obstacles} (${howToGetFederatedParts(need)})` : name
  // oxlint-disable-next-line vitest/no-disabled-tests, vitest/valid-title, vitest/valid-describe-callback -- both are the caller's
  describe.skipIf(skips)(title, tests)
}
