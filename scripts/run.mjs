/**
 * Runs a task of this repository: `npm start`, `npm test`, `npm run check`. It works on Node >= 20 with nothing
 * installed: it installs the packages and the pinned Node where that is due, and hands the task over to that Node.
 */
const least = 20
const major = Number(process.versions.node.split(".")[0])

if (major < least) {
  process.stderr.write(
    `Node ${process.versions.node} is too old: install Node ${least} or newer (https://nodejs.org), then try again.\n`
  )
  process.exitCode = 1
} else {
  const { main } = await import("./main.mjs")
  await main(process.argv[2], process.argv.slice(3))
}
