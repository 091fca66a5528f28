/** What `run.mjs` does once it knows that this Node can read it. */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { runToEnd } from "./child.mjs"
import { cleanEnvironment } from "./environment.mjs"
import { ensureInstalled } from "./install.mjs"
import { installParts } from "./parts.mjs"
import { pinnedNode, root } from "./paths.mjs"
import { SetupError } from "./SetupError.mjs"

const taskFile = (name) => fileURLToPath(new URL(`tasks/${name}.ts`, import.meta.url))

/** Node hides a warning for everybody else's type stripping; here it is how sources run. */
const nodeFlags = ["--disable-warning=ExperimentalWarning"]

const perform = async (task, args) => {
  if (process.platform === "win32") {
    throw new SetupError("Windows is not supported", ["use WSL (wsl --install), and clone inside it"])
  }
  if (task === "parts") return installParts()
  if (task === undefined || !existsSync(taskFile(task))) {
    throw new SetupError(`there is no task "${task ?? ""}"`, ["npm start", "npm test", "npm run check"])
  }
  await ensureInstalled()
  return runToEnd(pinnedNode, [...nodeFlags, taskFile(task), ...args], { cwd: root, env: cleanEnvironment() })
}

/** Sets the exit code; never throws. */
export const main = async (task, args) => {
  try {
    process.exitCode = await perform(task, args)
  } catch (error) {
    process.stderr.write(error instanceof SetupError ? error.report() : `${error?.stack ?? error}\n`)
    process.exitCode = 1
  }
}
