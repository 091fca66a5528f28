import { fileURLToPath } from "node:url"
import { keepCa } from "./KeepCa.ts"
import { runQuickstart } from "./runQuickstart.ts"

runQuickstart(keepCa(fileURLToPath(new URL("../../../.mosaic", import.meta.url))))
