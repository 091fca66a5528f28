/**
 * A CA that lies. It speaks step-ca's protocol over real TLS under a root of its own and signs honestly, until a test
 * tells it which lie to tell: about the certificate, about the answer, or about the connection. It exists to prove that
 * no lie gets a certificate handed out; what step-ca really does is tested against step-ca.
 */
import "reflect-metadata"
import { webcrypto } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import { createServer, type Server } from "node:https"
import type { AddressInfo } from "node:net"
import * as x509 from "@peculiar/x509"
import { Effect } from "effect"
import { decodeJwt, type JWTPayload } from "jose"

x509.cryptoProvider.set(webcrypto)

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const

const makeKeys = () => webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])

type Keys = Awaited<ReturnType<typeof makeKeys>>

/** What a leaf is made of, before it is signed. */
export interface LeafDraft {
  readonly serialHex: string
  readonly subject: string
  readonly issuer: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly publicKey: x509.PublicKeyType
  readonly signingKey: Keys["privateKey"]
  readonly extensions: ReadonlyArray<x509.Extension>
}

export interface Answer {
  readonly status: number
  readonly headers?: { readonly [name: string]: string }
  readonly body: string
}

export interface SignAnswer {
  readonly crt?: string
  readonly ca?: string
  readonly certChain?: ReadonlyArray<string>
}

export interface Lie {
  readonly leaf?: (draft: LeafDraft) => LeafDraft | Promise<LeafDraft>
  readonly signed?: (honest: Required<SignAnswer>) => SignAnswer
  /** Instead of any signing; `reset` cuts the connection once the request is in, `hang` never answers. */
  readonly answer?: Answer | "reset" | "hang" | ((attempt: number) => Answer | "reset" | "hang" | "honest")
  readonly revoke?: Answer | "reset"
  readonly provisioners?: unknown
  /** Runs after the leaf is signed and before the answer leaves. */
  readonly beforeAnswer?: () => Promise<void>
}

export interface HostileCa {
  readonly url: string
  readonly rootPem: string
  readonly tell: (lie: Lie) => void
  readonly signRequests: ReadonlyArray<{
    readonly claims: JWTPayload
    readonly body: { readonly [member: string]: unknown }
  }>
  readonly revokedSerials: ReadonlyArray<string>
  readonly otherKeys: Keys
}

const utf8String = (text: string): ArrayBuffer => {
  const value = Buffer.from(text, "latin1")
  return new Uint8Array([0x0c, value.length, ...value]).buffer
}

/** An extension of ours with any text, and where asked any DER at all. */
export const grantExtension = (
  oid: string,
  text: string,
  options: { readonly critical?: boolean; readonly der?: Uint8Array } = {}
) =>
  new x509.Extension(
    oid,
    options.critical ?? false,
    options.der === undefined ? utf8String(text) : new Uint8Array(options.der).buffer
  )

const json = (status: number, body: unknown): Answer => ({ status, body: JSON.stringify(body) })

const authority = async (tlsNames: ReadonlyArray<string>) => {
  const [rootKeys, intermediateKeys, tlsKeys, otherKeys] = await Promise.all([
    makeKeys(),
    makeKeys(),
    makeKeys(),
    makeKeys()
  ])
  const hour = 3_600_000
  const notBefore = new Date(Date.now() - 2 * hour)
  const notAfter = new Date(Date.now() + 240 * hour)
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=Hostile Root",
    notBefore,
    notAfter,
    keys: rootKeys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)
    ]
  })
  const intermediate = await x509.X509CertificateGenerator.create({
    serialNumber: "02",
    subject: "CN=Hostile Intermediate",
    issuer: root.subject,
    notBefore,
    notAfter,
    publicKey: intermediateKeys.publicKey,
    signingKey: rootKeys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)
    ]
  })
  const names = new x509.SubjectAlternativeNameExtension(
    tlsNames.map((value) => ({ type: /^[\d.]+$/.test(value) ? "ip" : "dns", value }) as const)
  )
  const tls = await x509.X509CertificateGenerator.create({
    serialNumber: "03",
    subject: "CN=Hostile CA",
    issuer: intermediate.subject,
    notBefore,
    notAfter,
    publicKey: tlsKeys.publicKey,
    signingKey: intermediateKeys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [names, new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth])]
  })
  const tlsKey = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", tlsKeys.privateKey))
  return {
    root,
    intermediate,
    intermediateKeys,
    otherKeys,
    tls: {
      cert: `${tls.toString("pem")}\n${intermediate.toString("pem")}\n`,
      key: `-----BEGIN PRIVATE KEY-----\n${tlsKey.toString("base64")}\n-----END PRIVATE KEY-----\n`
    }
  }
}

const listen = (server: Server) =>
  new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  })

const start = async (tlsNames: ReadonlyArray<string>) => {
  const ca = await authority(tlsNames)
  const signRequests: Array<HostileCa["signRequests"][number]> = []
  const revokedSerials: Array<string> = []
  let lie: Lie = {}

  const honestDraft = async (
    claims: JWTPayload,
    body: { readonly [member: string]: unknown }
  ): Promise<LeafDraft> => {
    const csr = new x509.Pkcs10CertificateRequest(String(body["csr"]))
    const grantId = String(claims["mosaic_grant_id"])
    const serialHex = BigInt(String(claims["mosaic_serial"])).toString(16)
    return {
      serialHex: serialHex.length % 2 === 0 ? serialHex : `0${serialHex}`,
      subject: `CN=${grantId}`,
      issuer: ca.intermediate.subject,
      notBefore: new Date(String(body["notBefore"])),
      notAfter: new Date(String(body["notAfter"])),
      publicKey: csr.publicKey,
      signingKey: ca.intermediateKeys.privateKey,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
        await x509.SubjectKeyIdentifierExtension.create(csr.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(ca.intermediate.publicKey),
        new x509.SubjectAlternativeNameExtension([{ type: "url", value: `urn:uuid:${grantId}` }]),
        grantExtension("1.3.6.1.4.1.99999.1", grantId),
        grantExtension("1.3.6.1.4.1.99999.2", String(claims["mosaic_subject_user_id"]))
      ]
    }
  }

  const sign = async (body: { readonly [member: string]: unknown }, claims: JWTPayload): Promise<Answer> => {
    const honest = await honestDraft(claims, body)
    const { extensions, serialHex, ...draft } = lie.leaf === undefined ? honest : await lie.leaf(honest)
    const leaf = await x509.X509CertificateGenerator.create({
      ...draft,
      serialNumber: serialHex,
      signingAlgorithm: algorithm,
      extensions: [...extensions]
    })
    const crt = `${leaf.toString("pem")}\n`
    const intermediate = `${ca.intermediate.toString("pem")}\n`
    const answer = { crt, ca: intermediate, certChain: [crt, intermediate] }
    await lie.beforeAnswer?.()
    return json(201, lie.signed === undefined ? answer : lie.signed(answer))
  }

  const respond = async (
    path: string,
    body: { readonly [member: string]: unknown }
  ): Promise<Answer | "reset" | "hang"> => {
    if (path.startsWith("/provisioners")) return json(200, lie.provisioners ?? { provisioners: [] })
    if (path === "/1.0/revoke") {
      revokedSerials.push(String(body["serial"]))
      return lie.revoke ?? json(200, { status: "ok" })
    }
    if (path !== "/1.0/sign") return json(404, { status: 404, message: "not found" })
    const claims = decodeJwt(String(body["ott"]))
    signRequests.push({ claims, body })
    const answer =
      typeof lie.answer === "function" ? lie.answer(signRequests.length) : (lie.answer ?? "honest")
    return answer === "honest" ? sign(body, claims) : answer
  }

  const deliver = async (
    request: IncomingMessage,
    response: ServerResponse,
    body: { readonly [member: string]: unknown }
  ) => {
    const answer = await respond(request.url ?? "", body)
    if (answer === "hang") return
    if (answer === "reset") {
      request.socket.destroy()
      return
    }
    response.writeHead(answer.status, {
      "content-type": "application/json",
      "x-request-id": "hostile-1",
      ...answer.headers
    })
    response.end(answer.body)
  }

  const server = createServer({ ...ca.tls, minVersion: "TLSv1.2" }, (request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString("utf8")
      const body = (text === "" ? {} : JSON.parse(text)) as { readonly [member: string]: unknown }
      void deliver(request, response, body)
    })
  })
  const port = await listen(server)
  return {
    server,
    ca: {
      url: `https://${tlsNames[0] ?? "127.0.0.1"}:${port}`,
      rootPem: `${ca.root.toString("pem")}\n`,
      tell: (next: Lie) => {
        lie = next
      },
      signRequests,
      revokedSerials,
      otherKeys: ca.otherKeys
    } satisfies HostileCa
  }
}

/** Listens on loopback until its scope closes. The first of `tlsNames` is the host in its URL. */
export const hostileCa = (tlsNames: ReadonlyArray<string> = ["localhost", "127.0.0.1"]) =>
  Effect.acquireRelease(
    Effect.promise(() => start(tlsNames)),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  ).pipe(Effect.map(({ ca }) => ca))
