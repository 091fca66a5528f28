/**
 * The two ways to run a gateway: `local` needs nothing but this machine; `federated` shares PostgreSQL and Valkey with
 * any number of replicas.
 */
import { Schema } from "effect"

export const Tier = Schema.Literals(["local", "federated"])

export type Tier = typeof Tier.Type
