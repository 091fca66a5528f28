/** `npm run ca` in a directory that a test names. */
import { keepCa } from "../../src/KeepCa.ts"
import { runQuickstart } from "../../src/runQuickstart.ts"

runQuickstart(keepCa(process.argv[2] ?? ""))
