/**
 * The chain over the audit record, pure: what is hashed of an entry, and what a walk along the chain finds. An entry's hash
 * is the SHA-256 of the hash before it, a line feed, and the entry as a JSON array; docs/federation/audit.md has the form.
 */
import { hash } from "node:crypto"

/** A record as it stands in the database. */
export interface AuditRecord {
  /** Its number; numbers are given out before the commit, so they are no order. */
  readonly record: number
  /** RFC 3339 in UTC, to the millisecond. */
  readonly at: string
  readonly action: string
  readonly outcome: string
  readonly requester: string
  readonly requestId: string
  readonly grantId: string | null
  readonly serial: string | null
  readonly subject: string | null
  readonly errorCode: string | null
  readonly detail: string | null
}

/** A record with its place in the chain, from 1. */
export interface AuditEntry extends AuditRecord {
  readonly height: number
  readonly hash: string
}

/** The end of a chain, or where one begins. */
export interface ChainPoint {
  readonly height: number
  readonly hash: string
}

/** Before the first entry. */
export const genesis: ChainPoint = { height: 0, hash: "0".repeat(64) }

const form = "mosaic-audit-1"

/** JSON.stringify writes strings in one way only (ECMA-262 §25.5.2.3), so no two records have one text. */
const canonical = (record: AuditRecord, height: number): string =>
  JSON.stringify([
    form,
    height,
    record.record,
    record.at,
    record.action,
    record.outcome,
    record.requester,
    record.requestId,
    record.grantId,
    record.serial,
    record.subject,
    record.errorCode,
    record.detail
  ])

const hashAfter = (before: ChainPoint, record: AuditRecord): string =>
  hash("sha256", `${before.hash}\n${canonical(record, before.height + 1)}`, "hex")

/** The entries that these records become behind a point, in this order. */
export const chained = (
  before: ChainPoint,
  records: ReadonlyArray<AuditRecord>
): ReadonlyArray<AuditEntry> => {
  let last = before
  return records.map((record) => {
    const entry = { ...record, height: last.height + 1, hash: hashAfter(last, record) }
    last = entry
    return entry
  })
}

/** What the chain says of one height; `record` is null where the record that was sealed there is gone. */
export interface ChainLink extends ChainPoint {
  readonly recordId: number
  readonly record: AuditRecord | null
}

export interface ChainBreak {
  readonly height: number
  /** The number of the record that the chain has there; null where the chain itself has a gap. */
  readonly recordId: number | null
  readonly problem: string
}

const gap = (from: number, to: number) =>
  from === to ? `height ${from} is missing` : `heights ${from} to ${to} are missing`

/** What is wrong between a point and the link that should follow it. */
export const breakBetween = (before: ChainPoint, link: ChainLink): ChainBreak | undefined => {
  const { height, record, recordId } = link
  if (height !== before.height + 1) {
    return {
      height: before.height + 1,
      recordId: null,
      problem: `${gap(before.height + 1, height - 1)}: cut out of the chain`
    }
  }
  if (record === null) {
    return { height, recordId, problem: `record ${recordId} was removed` }
  }
  return hashAfter(before, record) === link.hash
    ? undefined
    : {
        height,
        recordId,
        problem: `record ${recordId} does not match its hash: it was changed, inserted or moved`
      }
}
