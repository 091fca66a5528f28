/**
 * The directory of a peer: its key, its certificate with chain and root, and what it takes to renew them. Key and
 * certificate of one issuance lie together in a directory of their own; `current` leads to it, and one rename moves it.
 * At whatever point a process dies, what is there is whole, and the next one goes on with the same key and CSR.
 *
 *     current -> versions/SERIAL         peer.key, peer.crt, chain.crt, root.crt -> current/...
 *     pending/peer.key, request.csr      the key and the CSR of what is being asked for
 */
import { createPrivateKey, createPublicKey } from "node:crypto"
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync
} from "node:fs"
import { basename, dirname, join, resolve } from "node:path"
import { OutputExists } from "@mosaic-federation/domain/CommandErrors"
import { PeerDirectoryBusy, PeerDirectoryUnusable } from "@mosaic-federation/domain/PeerSideErrors"
import { isInProc } from "@mosaic-federation/issuance/ProcFileSystem"
import { type Certificate, parseCertificates } from "@mosaic-federation/x509/Certificate"
import { parse as parseCsr } from "@mosaic-federation/x509/CertificateRequest"
import type { DateTime } from "effect"
import { Effect, Option, Redacted, Result, Schema, type Scope } from "effect"
import { isTemporary, replaceFile, temporaryIn, writeNew } from "./internal/wholeFile.ts"
import type { PeerKey } from "./PeerKey.ts"
import { type LockHolder, lockHolder, tryLock } from "./ProcessLock.ts"
import type { ReceivedCertificate } from "./ReceivedCertificate.ts"

/** The names that stay, whatever is renewed. */
export const names = {
  key: "peer.key",
  certificate: "peer.crt",
  chain: "chain.crt",
  root: "root.crt"
} as const

const factsName = "issued.json"
const requestName = "request.csr"

/** What a certificate does not say of itself. */
const Facts = Schema.Struct({
  url: Schema.URLFromString,
  peer: Schema.String,
  grantId: Schema.String,
  subjectUserId: Schema.String,
  /** By this machine's clock. */
  receivedAt: Schema.DateTimeUtcFromString,
  by: Schema.Literals(["enrollment", "renewal"])
})

const FactsJson = Schema.fromJsonString(Facts)
const decodeFacts = Schema.decodeUnknownResult(FactsJson)
const encodeFacts = Schema.encodeSync(FactsJson)

export interface Held {
  readonly url: URL
  readonly peer: string
  readonly grantId: string
  readonly subjectUserId: string
  readonly receivedAt: DateTime.Utc
  readonly by: "enrollment" | "renewal"
  readonly leaf: Certificate
  readonly chain: ReadonlyArray<Certificate>
  readonly roots: ReadonlyArray<Certificate>
  readonly fullChainPem: string
  /** None where the key is held elsewhere. */
  readonly privateKeyPem: Option.Option<Redacted.Redacted>
}

export interface PeerDirectory {
  /** As the command line names it. */
  readonly path: string
  /** What is there now; none before the first certificate. */
  readonly held: Effect.Effect<Option.Option<Held>, PeerDirectoryUnusable>
  /** The key and CSR that were made and may have been sent; made where there are none. */
  readonly pending: (make: Effect.Effect<PeerKey>) => Effect.Effect<PeerKey, PeerDirectoryUnusable>
  /** The key and CSR of the certificate that is there, where a process died before it had tidied up. */
  readonly interrupted: Effect.Effect<Option.Option<PeerKey>, PeerDirectoryUnusable>
  /** Of the last certificate, all at once: it is there whole, or not at all. `key` is none where it is held elsewhere. */
  readonly install: (
    received: ReceivedCertificate,
    by: Held["by"],
    key: Option.Option<Redacted.Redacted>
  ) => Effect.Effect<void, PeerDirectoryUnusable>
  /** Replaces a file of this name, whole. */
  readonly write: (name: string, content: string) => Effect.Effect<void, PeerDirectoryUnusable>
  readonly read: (name: string) => Option.Option<string>
}

const secretMode = 0o600
const publicMode = 0o644

const syncDirectory = (path: string) => {
  const descriptor = openSync(path, "r")
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** One by one: of a file system that is read-only, Node's own recursion says that there is no such directory. */
const makeDirectories = (path: string): void => {
  if (existsSync(path)) return
  makeDirectories(dirname(path))
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    // Somebody else may have made it in between.
    if (!existsSync(path)) throw error
  }
}

/** A directory that appears with all of its files. */
const placeDirectory = (
  parent: string,
  name: string,
  files: ReadonlyArray<readonly [name: string, content: string, mode: number]>
) => {
  const temporary = temporaryIn(parent)
  mkdirSync(temporary, { mode: 0o700 })
  for (const [file, content, mode] of files) writeNew(join(temporary, file), content, mode)
  syncDirectory(temporary)
  const target = join(parent, name)
  // What is in the way was never current: a process died between this step and the next.
  rmSync(target, { recursive: true, force: true })
  renameSync(temporary, target)
  syncDirectory(parent)
}

const placeLink = (directory: string, name: string, target: string) => {
  const temporary = temporaryIn(directory)
  symlinkSync(target, temporary)
  renameSync(temporary, join(directory, name))
}

const removeLeftovers = (directory: string) => {
  for (const name of readdirSync(directory)) {
    if (isTemporary(name)) rmSync(join(directory, name), { recursive: true, force: true })
  }
}

const linkAt = (path: string): string | undefined =>
  lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(path) : undefined

const textAt = (path: string): string | undefined => {
  const found = statSync(path, { throwIfNoEntry: false })
  return found?.isFile() === true && found.size <= 256 * 1024 ? readFileSync(path, "utf8") : undefined
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "no such directory",
  ENOTDIR: "a part of the path is not a directory",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "no space left on the disk",
  EDQUOT: "the disk quota is used up"
}

const isOfKey = (publicKeySpki: Uint8Array, privateKeyPem: string): boolean =>
  Result.match(
    Result.try(() =>
      createPublicKey(createPrivateKey(privateKeyPem).export({ format: "pem", type: "pkcs8" }))
    ),
    {
      onFailure: () => false,
      onSuccess: (key) => Buffer.from(publicKeySpki).equals(key.export({ format: "der", type: "spki" }))
    }
  )

/** None where there is none, and where it is damaged. */
const pendingIn = (directory: string): PeerKey | undefined => {
  const key = textAt(join(directory, "pending", names.key))
  const csrPem = textAt(join(directory, "pending", requestName))
  if (key === undefined || csrPem === undefined) return undefined
  const csr = Result.getOrUndefined(parseCsr(csrPem))
  return csr === undefined || !isOfKey(csr.publicKeySpki, key)
    ? undefined
    : { csrPem, privateKeyPem: Redacted.make(key, { label: "private key" }) }
}

const isFor = ({ csrPem }: PeerKey, { leaf }: Held): boolean => {
  const csr = Result.getOrUndefined(parseCsr(csrPem))
  return csr !== undefined && Buffer.from(csr.publicKeySpki).equals(leaf.publicKey.spki)
}

const make = (path: string): PeerDirectory => {
  const directory = resolve(path)
  const at = (...parts: ReadonlyArray<string>) => join(directory, ...parts)
  const unusable = (problem: string, advice: string) =>
    new PeerDirectoryUnusable({ directory: path, problem, advice })
  const enrollAgain = `enroll again with a new token: mosaic federation enroll --token-file FILE --out ${path} --force`

  const attempt = <A>(evaluate: () => A) =>
    Effect.try({
      try: evaluate,
      catch: (error) => {
        const { code = "", message } = error as NodeJS.ErrnoException
        return unusable(
          reasons[code] ?? message,
          `see that this user may write there: ls -ld ${path}; df -h ${path}`
        )
      }
    })

  const damaged = (file: string, problem: string) => Effect.fail(unusable(`${file}: ${problem}`, enrollAgain))

  const certificatesIn = (file: string) =>
    Effect.gen(function* () {
      const text = yield* attempt(() => textAt(at("current", file)))
      const parsed = parseCertificates(text ?? "")
      if (Result.isFailure(parsed)) return yield* damaged(file, parsed.failure.message)
      return { pem: text ?? "", certificates: parsed.success }
    })

  const held = Effect.gen(function* () {
    if ((yield* attempt(() => linkAt(at("current")))) === undefined) return Option.none<Held>()
    const facts = decodeFacts(yield* attempt(() => textAt(at("current", factsName)) ?? ""))
    if (Result.isFailure(facts)) return yield* damaged(factsName, "it is not as enroll wrote it")
    const { certificates, pem } = yield* certificatesIn(names.certificate)
    const [leaf, ...chain] = certificates
    if (leaf === undefined) return yield* damaged(names.certificate, "it is empty")
    const roots = yield* certificatesIn(names.root)
    const key = yield* attempt(() => textAt(at("current", names.key)))
    if (key !== undefined && !isOfKey(leaf.publicKey.spki, key)) {
      return yield* damaged(names.key, `it is not the key of ${names.certificate}`)
    }
    return Option.some<Held>({
      ...facts.success,
      leaf,
      chain,
      roots: roots.certificates,
      fullChainPem: pem,
      privateKeyPem: Option.map(Option.fromUndefinedOr(key), (text) =>
        Redacted.make(text, { label: "private key" })
      )
    })
  })

  const pending = Effect.fnUntraced(function* (makeKey: Effect.Effect<PeerKey>) {
    const current = yield* held
    const there = yield* attempt(() => pendingIn(directory))
    if (there !== undefined && !(Option.isSome(current) && isFor(there, current.value))) return there
    const made = yield* makeKey
    yield* attempt(() => {
      placeDirectory(directory, "pending", [
        [names.key, Redacted.value(made.privateKeyPem), secretMode],
        [requestName, made.csrPem, publicMode]
      ])
    })
    return made
  })

  const interrupted = Effect.gen(function* () {
    const current = yield* held
    const there = yield* attempt(() => pendingIn(directory))
    return there !== undefined && Option.isSome(current) && isFor(there, current.value)
      ? Option.some(there)
      : Option.none()
  })

  /** The one before stays, for whoever has just opened it. */
  const forgetOldVersions = (serial: string, before: string | undefined) => {
    const kept = new Set([serial, ...(before === undefined ? [] : [basename(before)])])
    for (const name of readdirSync(at("versions"))) {
      if (!kept.has(name)) rmSync(at("versions", name), { recursive: true, force: true })
    }
  }

  const install: PeerDirectory["install"] = (received, by, key) =>
    attempt(() => {
      const { chain, document, leaf, receivedAt, roots, url } = received
      const { grantId, peer, serial, subjectUserId } = document
      const before = linkAt(at("current"))
      const target = join("versions", serial)
      mkdirSync(at("versions"), { recursive: true, mode: 0o700 })
      if (before !== target) {
        const pemOf = (certificates: ReadonlyArray<Certificate>) =>
          certificates.map(({ pem }) => pem).join("")
        placeDirectory(at("versions"), serial, [
          ...Option.toArray(Option.map(key, (pem) => [names.key, Redacted.value(pem), secretMode] as const)),
          [names.certificate, pemOf([leaf, ...chain]), publicMode],
          [names.chain, pemOf(chain), publicMode],
          [names.root, pemOf(roots), publicMode],
          [factsName, encodeFacts({ url, peer, grantId, subjectUserId, receivedAt, by }), publicMode]
        ])
      }
      const here = Object.values(names).filter((name) => existsSync(at(target, name)))
      for (const name of here) {
        if (linkAt(at(name)) !== join("current", name)) placeLink(directory, name, join("current", name))
      }
      placeLink(directory, "current", target)
      syncDirectory(directory)
      for (const name of Object.values(names)) {
        if (!here.includes(name)) rmSync(at(name), { force: true })
      }
      rmSync(at("pending"), { recursive: true, force: true })
      forgetOldVersions(serial, before)
      removeLeftovers(directory)
      syncDirectory(directory)
    })

  return {
    path,
    held,
    pending,
    interrupted,
    install,
    write: (name, content) =>
      attempt(() => {
        replaceFile(at(name), content, publicMode)
      }),
    read: (name) => Option.fromUndefinedOr(Result.getOrUndefined(Result.try(() => textAt(at(name)))))
  }
}

/** Whoever may write there could put another key in place of the peer's. */
const checkMode = (path: string) =>
  Effect.gen(function* () {
    const fail = (problem: string, advice: string) =>
      Effect.fail(new PeerDirectoryUnusable({ directory: path, problem, advice }))
    const found = yield* Effect.orDie(Effect.try(() => statSync(path, { throwIfNoEntry: false })))
    if (found === undefined) {
      return yield* fail(
        "no such directory",
        `enroll first: mosaic federation enroll --token-file FILE --out ${path}`
      )
    }
    if (!found.isDirectory()) return yield* fail("it is not a directory", "name a directory")
    if ((found.mode & 0o022) !== 0) {
      return yield* fail(
        `its mode ${(found.mode & 0o777).toString(8)} lets others replace the key`,
        `chmod 700 ${path}`
      )
    }
  })

/** To look at; whatever changes it is `openDirectory`. */
export const viewDirectory = (path: string): Effect.Effect<PeerDirectory, PeerDirectoryUnusable> =>
  Effect.as(checkMode(path), make(path))

/** The process that works on it. */
export const directoryHolder = (path: string): Effect.Effect<Option.Option<LockHolder>> => lockHolder(path)

/** Alone, for as long as the scope. */
export const openDirectory = (
  path: string
): Effect.Effect<PeerDirectory, PeerDirectoryUnusable | PeerDirectoryBusy, Scope.Scope> =>
  Effect.gen(function* () {
    yield* checkMode(path)
    const holder = yield* tryLock(path)
    if (Option.isSome(holder)) {
      return yield* new PeerDirectoryBusy({ directory: path, pid: holder.value.pid })
    }
    return make(path)
  })

/** For a peer's first certificate: made with mode 0700 where it is not there; `force` replaces what is. */
export const createDirectory = (
  path: string,
  { force }: { readonly force: boolean }
): Effect.Effect<PeerDirectory, PeerDirectoryUnusable | PeerDirectoryBusy | OutputExists, Scope.Scope> =>
  Effect.gen(function* () {
    if (isInProc(resolve(path))) {
      return yield* new PeerDirectoryUnusable({
        directory: path,
        problem: "no directory can be made in the file system of processes",
        advice: "name another directory; nothing was asked for"
      })
    }
    yield* Effect.try({
      try: () => makeDirectories(path),
      catch: (error) => {
        const { code = "", message } = error as NodeJS.ErrnoException
        return new PeerDirectoryUnusable({
          directory: path,
          problem: reasons[code] ?? message,
          advice: "name a directory that this user can make or write in; nothing was asked for"
        })
      }
    })
    const directory = yield* openDirectory(path)
    if (!force && Option.isNone(yield* directory.interrupted)) {
      if (linkAt(join(path, "current")) !== undefined) {
        return yield* new OutputExists({ path: join(path, names.certificate) })
      }
      const taken = Object.values(names).find((name) => existsSync(join(path, name)))
      if (taken !== undefined) return yield* new OutputExists({ path: join(path, taken) })
    }
    return directory
  })
