/** Certification requests of every kind, by openssl: a tool that is not ours makes what ours must read. */
import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Effect } from "effect"

const run = promisify(execFile)

/** What openssl is told about the key: the accepted kinds, and those that must be refused by name. */
const keyOptions = {
  "P-256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
  "P-384": ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
  Ed25519: ["ed25519"],
  "RSA 2048": ["rsa:2048"],
  "RSA 3072": ["rsa:3072"],
  "RSA 1024": ["rsa:1024"],
  "P-521": ["ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
  secp256k1: ["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
  Ed448: ["ed448"]
} as const

export type CsrKind = keyof typeof keyOptions

export interface CsrOptions {
  /** As openssl takes it; empty by default. */
  readonly subject?: string
  /** Such as `subjectAltName=URI:urn:uuid:...`. */
  readonly extensions?: ReadonlyArray<string>
}

export interface Csr {
  readonly pem: string
  readonly privateKeyPem: string
}

const make = async (kind: CsrKind, options: CsrOptions): Promise<Csr> => {
  const directory = await mkdtemp(join(tmpdir(), "mosaic-csr-"))
  try {
    const key = join(directory, "key.pem")
    const { stdout } = await run("openssl", [
      "req",
      "-new",
      "-nodes",
      "-newkey",
      ...keyOptions[kind],
      "-keyout",
      key,
      "-subj",
      options.subject ?? "/",
      ...(options.extensions ?? []).flatMap((extension) => ["-addext", extension])
    ])
    return { pem: stdout, privateKeyPem: await readFile(key, "utf8") }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** A fresh key each time; it exists on disk only while openssl runs. */
export const makeCsr = (kind: CsrKind, options: CsrOptions = {}): Effect.Effect<Csr> =>
  Effect.promise(() => make(kind, options))
