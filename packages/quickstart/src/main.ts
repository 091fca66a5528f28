import { fileURLToPath } from "node:url"
import { quickstart } from "./Quickstart.ts"
import { runQuickstart } from "./runQuickstart.ts"

runQuickstart(quickstart(fileURLToPath(new URL("../../../.mosaic", import.meta.url))))
