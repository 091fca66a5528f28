/**
 * How a test file says that it needs the parts of the federated tier. Where a machine can have none, its tests are listed
 * as skipped with what to do, and fail where `MOSAIC_TEST_FEDERATED=required` says that this machine must have them.
 */
import { describe } from "@effect/vitest"
import { debianRootObstacle } from "./DebianRoot.ts"

const howTo = "as root on Debian: apt-get install debootstrap; npm test builds the rest"

const obstacle = debianRootObstacle()

const isRequired = process.env["MOSAIC_TEST_FEDERATED"] === "required"

// oxlint-disable-next-line vitest/no-disabled-tests, vitest/valid-title, vitest/valid-describe-callback -- not a suite yet
const suite = describe.skipIf(obstacle !== undefined && !isRequired)

/** As `describe`. Where the parts are required and missing, the first test that makes them says why. */
export const federated = (name: string, tests: () => void): void => {
  const title = obstacle === undefined || isRequired ? name : `${name}: skipped, ${obstacle} (${howTo})`
  // oxlint-disable-next-line vitest/valid-title, vitest/valid-describe-callback -- both are the caller's
  suite(title, tests)
}
