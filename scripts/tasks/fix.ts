/** Formats, repairs what the linter can, and writes the page of errors and the JSON schema. */
import { stderrProgress } from "../../packages/testing/src/Progress.ts"
import { writeConfigSchema } from "../config-schema.ts"
import { writeErrorsPage } from "../errors-doc.ts"
import { linted, program, runStep } from "./Step.ts"

const { say } = stderrProgress()
const steps = [
  { name: "format", ...program("oxfmt", "oxfmt", ["."]) },
  { name: "lint", ...program("oxlint", "oxlint", ["--type-aware", "--fix", ...linted]) }
]
for (const step of steps) {
  const { output, passed } = await runStep(step)
  say(passed ? `${step.name}: done` : `${step.name}: these need you\n${output}`)
  if (!passed) process.exitCode = 1
}
writeErrorsPage()
say("docs/errors.md: written")
writeConfigSchema()
say("packages/gateway/schema/mosaic.config.schema.json: written")
