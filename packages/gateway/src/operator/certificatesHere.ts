/** What operators do with the ledger, on the database itself. */
import { CertificateNotFound } from "@mosaic-federation/domain/CommandErrors"
import type { SerialNumber } from "@mosaic-federation/domain/SerialNumber"
import { CertificateLedger } from "@mosaic-federation/issuance/CertificateLedger"
import { GrantRepo } from "@mosaic-federation/issuance/GrantRepo"
import { Effect } from "effect"
import { TaskQueue } from "../TaskQueue.ts"
import { recordDocument } from "./certificateDocuments.ts"
import type { CertificateQuery } from "./CertificateOperations.ts"

export const makeCertificatesHere = Effect.gen(function* () {
  const grants = yield* GrantRepo
  const ledger = yield* CertificateLedger
  const tasks = yield* TaskQueue

  const find = Effect.fnUntraced(function* (serial: SerialNumber) {
    const [record] = yield* grants.certificates({ serial, limit: 1 })
    return record === undefined ? yield* new CertificateNotFound({ serial }) : record
  })

  return {
    list: Effect.fn("CertificateOperations.list")(function* (query: CertificateQuery) {
      const { grant, user, ...rest } = query
      const found = yield* ledger.list({
        ...rest,
        ...(grant === undefined ? {} : { grantId: grant }),
        ...(user === undefined ? {} : { subjectUserId: user })
      })
      return { certificates: found.map(recordDocument) }
    }),

    show: Effect.fn("CertificateOperations.show")(function* (serial: SerialNumber) {
      const record = yield* find(serial)
      return { ...recordDocument(record), fullChain: record.fullChainPem }
    }),

    revoke: Effect.fn("CertificateOperations.revoke")(function* (serial: SerialNumber, reason: string) {
      const caRevocations = yield* tasks.tryNow(yield* ledger.revoke(serial, reason))
      return { ...recordDocument(yield* find(serial)), caRevocations }
    })
  }
})
