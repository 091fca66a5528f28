/** A migration as its file is called: `0003_tasks`. */
import type { Migration } from "@mosaic-federation/issuance/Migrations"

export const migrationName = ({ id, name }: Migration): string => `${String(id).padStart(4, "0")}_${name}`
