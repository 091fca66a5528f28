/** A grant certificate decoded for a person: both extensions, names, validity, chain, and every conformance check. */
import { alternativeNames, type Certificate, extendedKeyUsage, keyUsage } from "./Certificate.ts"
import type { Evaluation } from "./CertificateConformance.ts"
import { decodeValue } from "./GrantExtension.ts"
import { formatAlternativeNames } from "./Name.ts"
import { type GrantOids, oidName } from "./Oid.ts"
import { Result } from "effect"

const hex = (bytes: Uint8Array) =>
  Buffer.from(bytes).toString("hex").toUpperCase().replace(/../g, "$& ").trim()

/** Value octets in rows of twenty, the second row under the first. */
const hexRows = (bytes: Uint8Array, indent: string) =>
  Array.from({ length: Math.ceil(bytes.length / 20) }, (_, row) =>
    hex(bytes.subarray(row * 20, row * 20 + 20))
  ).join(`\n${indent}`)

/** Two units are enough for a person: `23 h 59 min left`. */
export const timeLeft = (notAfter: Date, now: Date): string => {
  const seconds = Math.floor((notAfter.getTime() - now.getTime()) / 1000)
  if (seconds <= 0) return "expired"
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"]
  ] as const
  return `${parts
    .filter(([count]) => count > 0)
    .slice(0, 2)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ")} left`
}

const label = (name: string) => `  ${name.padEnd(15)}`
const indent = label("")

const extensionLines = (certificate: Certificate, oids: GrantOids) => {
  const fields = { grantId: "the grant", subjectUserId: "the user it acts for" } as const
  return (Object.keys(fields) as ReadonlyArray<keyof GrantOids>).flatMap((field) => {
    const extension = certificate.extensions.find(({ oid }) => oid === oids[field])
    if (extension === undefined) return [`${label(field)}absent`]
    const decoded = Result.match(decodeValue(extension.value), {
      onSuccess: (uuid) => uuid,
      onFailure: ({ message }) => message
    })
    return [
      `${label(field)}${decoded}  (${fields[field]})`,
      `${indent}extension ${oids[field]}, UTF8String, ${extension.value.length} octets:`,
      `${indent}${hexRows(extension.value, indent)}`
    ]
  })
}

export const utc = (date: Date) =>
  date
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, " UTC")

/** `chain` leads from the leaf's issuer upwards; `root` is the pinned one that it was found to end in. */
export const certificateLines = (
  leaf: Certificate,
  chain: ReadonlyArray<Certificate>,
  root: Certificate | undefined,
  oids: GrantOids,
  now: Date
): ReadonlyArray<string> => {
  const names = Result.match(alternativeNames(leaf), {
    onSuccess: formatAlternativeNames,
    onFailure: ({ message }) => message
  })
  const usages = [
    ...(Result.getOrUndefined(keyUsage(leaf)) ?? []),
    ...(Result.getOrUndefined(extendedKeyUsage(leaf)) ?? []).map(oidName)
  ]
  return [
    ...extensionLines(leaf, oids),
    `${label("serial")}${leaf.serial}`,
    `${label("subject")}${leaf.subject.text}`,
    `${label("SAN")}${names}`,
    `${label("usage")}${usages.join(", ")}`,
    `${label("key")}${leaf.publicKey.description}`,
    `${label("valid from")}${utc(leaf.notBefore)}`,
    `${label("valid to")}${utc(leaf.notAfter)}  (${timeLeft(leaf.notAfter, now)})`,
    `${label("fingerprint")}SHA-256 ${leaf.fingerprintSha256}`,
    ...(chain.length === 0 ? [`${label("issued by")}${leaf.issuer.text}`] : []),
    ...chain.map(({ subject }, index) => `${label(index === 0 ? "issued by" : "")}${subject.text}`),
    ...(root === undefined ? [] : [`${label("root")}${root.subject.text}, pinned`])
  ]
}

const marks = { ok: "ok  ", mismatch: "FAIL", "not-applicable": "n/a " } as const

const shortened = (text: string) => (text.length > 72 ? `${text.slice(0, 69)}...` : text)

export const conformanceLines = (evaluations: ReadonlyArray<Evaluation>): ReadonlyArray<string> =>
  evaluations.map(({ expected, field, found, outcome }) => {
    const said = outcome === "mismatch" ? `expected ${expected}, found ${found}` : shortened(found)
    return `  ${marks[outcome]}  ${field}: ${said}`
  })
