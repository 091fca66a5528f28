import { CaTimeout, TransportError } from "@mosaic-federation/domain/TransportErrors"
import { freePort } from "@mosaic-federation/testing/freePort"
import {
  type Behaviour,
  bodyInChunks,
  gzipBomb,
  hangUp,
  json,
  makePlainHttpServer,
  makeTcpServer,
  makeTlsServer,
  raw,
  silence,
  stallInBody,
  text
} from "@mosaic-federation/testing/HostileServer"
import {
  expired,
  makeIntermediate,
  makeRoot,
  makeSelfSignedIdentity,
  makeServerIdentity,
  notYetValid
} from "@mosaic-federation/testing/TestPki"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import {
  nothingWasSent,
  PinnedHttpClient,
  type PinnedHttpClientOptions,
  type PinnedRequest
} from "../src/PinnedHttpClient.ts"

const signRequest = {
  method: "POST",
  path: "/1.0/sign",
  body: { csr: "a CSR", ott: "a one-time token" }
} satisfies PinnedRequest

const clientOf = (
  url: string,
  rootPem: string | ReadonlyArray<string>,
  options: Partial<PinnedHttpClientOptions> = {}
) =>
  PinnedHttpClient.make({
    baseUrl: new URL(url),
    rootsPem: typeof rootPem === "string" ? [rootPem] : rootPem,
    ...options
  })

/** A server that behaves so, with a good certificate, and a client that trusts its root. */
const facing = Effect.fnUntraced(function* (
  behaviour: Behaviour,
  options: Partial<PinnedHttpClientOptions> = {},
  tls: Parameters<typeof makeTlsServer>[2] = {}
) {
  const root = yield* makeRoot("root")
  const identity = yield* makeServerIdentity(root, { names: ["localhost", "127.0.0.1"] })
  const server = yield* makeTlsServer(identity, behaviour, tls)
  const origin = `https://localhost:${server.port}`
  const client = yield* clientOf(origin, root.pem, options)
  return { root, server, origin, client }
})

interface Expected {
  readonly code: string
  readonly message: string
  readonly remedy: string
  readonly nothingWasSent: boolean
}

const assertFails = (error: TransportError, expected: Expected) => {
  assert.deepStrictEqual(
    {
      code: error.code,
      message: error.message,
      exitCode: error.exitCode,
      nothingWasSent: nothingWasSent(error)
    },
    {
      code: expected.code,
      message: expected.message,
      exitCode: 5,
      nothingWasSent: expected.nothingWasSent
    }
  )
  assert.include(error.remediation, expected.remedy)
}

/** Short, and long enough for a handshake on a busy machine. */
const shortTimeouts = { connectTimeout: Duration.seconds(2), totalTimeout: Duration.seconds(3) }

describe("whom it trusts", () => {
  it.live("accepts a chain of an intermediate up to the pinned root, by name and by IP address", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot("root")
      const intermediate = yield* makeIntermediate(root, "intermediate")
      const identity = yield* makeServerIdentity(intermediate, { names: ["localhost", "127.0.0.1"] })
      const server = yield* makeTlsServer(identity, json(201, { crt: "PEM" }))
      for (const host of ["localhost", "127.0.0.1"]) {
        const client = yield* clientOf(`https://${host}:${server.port}`, root.pem)
        const response = yield* client.request(signRequest)
        assert.deepStrictEqual([response.status, response.body], [201, { crt: "PEM" }])
      }
      assert.deepStrictEqual(JSON.parse(server.requests[0]?.body ?? ""), signRequest.body)
    })
  )

  it.live("accepts each of several roots, as separate texts and as one bundle", () =>
    Effect.gen(function* () {
      const roots = [yield* makeRoot("old root"), yield* makeRoot("new root")]
      const pems = roots.map(({ pem }) => pem)
      for (const root of roots) {
        const identity = yield* makeServerIdentity(root, { names: ["localhost"] })
        const server = yield* makeTlsServer(identity, json(200, {}))
        for (const rootsPem of [pems, [pems.join("\n")]]) {
          const client = yield* clientOf(`https://localhost:${server.port}`, rootsPem)
          assert.strictEqual((yield* client.request({ method: "GET", path: "/health" })).status, 200)
        }
      }
    })
  )

  it.live("refuses a server of another root, also where that has the pinned root's name", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot("root")
      for (const [name, reason] of [
        ["other root", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
        ["root", "CERT_SIGNATURE_FAILURE"]
      ] as const) {
        const other = yield* makeRoot(name)
        const identity = yield* makeServerIdentity(other, { names: ["localhost"] })
        const server = yield* makeTlsServer(identity, json(200, {}))
        const origin = `https://localhost:${server.port}`
        const client = yield* clientOf(origin, root.pem)
        assertFails(yield* Effect.flip(client.request(signRequest)), {
          code: "CA_ISSUER_UNKNOWN",
          message: `the certificate of ${origin} does not chain to a root in STEP_CA_ROOT_CERT_PATH (${reason})`,
          remedy: "step certificate fingerprint ROOT_FILE",
          nothingWasSent: true
        })
        assert.deepStrictEqual(server.requests, [])
      }
    })
  )

  it.live("refuses a server that sends its own root along", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot("root")
      const other = yield* makeRoot("other root")
      const identity = yield* makeServerIdentity(other, { names: ["localhost"] })
      const server = yield* makeTlsServer(
        { ...identity, cert: `${identity.cert}\n${other.pem}` },
        json(200, {})
      )
      const client = yield* clientOf(`https://localhost:${server.port}`, root.pem)
      const error = yield* Effect.flip(client.request(signRequest))
      assert.include(error.message, "(SELF_SIGNED_CERT_IN_CHAIN)")
      assert.strictEqual(error.code, "CA_ISSUER_UNKNOWN")
    })
  )

  it.live("refuses a self-signed server, and trusts nobody when no root is given", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot("root")
      const server = yield* makeTlsServer(yield* makeSelfSignedIdentity("localhost"), json(200, {}))
      for (const roots of [[root.pem], [], [""]]) {
        const client = yield* clientOf(`https://localhost:${server.port}`, roots)
        const error = yield* Effect.flip(client.request(signRequest))
        assert.strictEqual(error.code, "CA_ISSUER_UNKNOWN")
        assert.include(error.message, "(DEPTH_ZERO_SELF_SIGNED_CERT)")
      }
    })
  )

  it.live("refuses a pinned intermediate without its root", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot("root")
      const intermediate = yield* makeIntermediate(root, "intermediate")
      const identity = yield* makeServerIdentity(intermediate, { names: ["localhost"] })
      const server = yield* makeTlsServer(identity, json(200, {}))
      const client = yield* clientOf(`https://localhost:${server.port}`, intermediate.pem)
      const error = yield* Effect.flip(client.request(signRequest))
      assert.strictEqual(error.code, "CA_ISSUER_UNKNOWN")
      assert.match(error.message, /\(UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?\)$/)
    })
  )

  it.live("refuses a certificate that is not for servers", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot("root")
      const identity = yield* makeServerIdentity(root, {
        names: ["localhost"],
        purpose: "clientAuth"
      })
      const server = yield* makeTlsServer(identity, json(200, {}))
      const client = yield* clientOf(`https://localhost:${server.port}`, root.pem)
      const error = yield* Effect.flip(client.request(signRequest))
      assert.strictEqual(error.code, "CA_ISSUER_UNKNOWN")
      assert.include(error.message, "(INVALID_PURPOSE)")
    })
  )

  const untimely = [
    ["an expired leaf", { leaf: expired(), root: undefined }, "CERT_HAS_EXPIRED"],
    ["a leaf that is not valid yet", { leaf: notYetValid(), root: undefined }, "CERT_NOT_YET_VALID"],
    ["a leaf under an expired root", { leaf: undefined, root: expired() }, "CERT_HAS_EXPIRED"]
  ] as const

  it.live.each(untimely)("refuses %s", ([, validity, reason]) =>
    Effect.gen(function* () {
      const root = yield* makeRoot("root", validity.root)
      const identity = yield* makeServerIdentity(root, {
        names: ["localhost"],
        ...(validity.leaf === undefined ? undefined : { validity: validity.leaf })
      })
      const server = yield* makeTlsServer(identity, json(200, {}))
      const origin = `https://localhost:${server.port}`
      const client = yield* clientOf(origin, root.pem)
      assertFails(yield* Effect.flip(client.request(signRequest)), {
        code: "CA_CERTIFICATE_EXPIRED",
        message: `the certificate of ${origin} is not valid now (${reason})`,
        remedy: "check this machine's clock",
        nothingWasSent: true
      })
    })
  )

  it.live("refuses a certificate for another name or address, also at a second try", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot("root")
      for (const [host, names] of [
        ["localhost", ["step-ca.example", "127.0.0.1"]],
        ["127.0.0.1", ["localhost", "127.0.0.2"]]
      ] as const) {
        const identity = yield* makeServerIdentity(root, { names })
        for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
          const server = yield* makeTlsServer(identity, json(200, {}), { maxVersion })
          const origin = `https://${host}:${server.port}`
          const client = yield* clientOf(origin, root.pem)
          for (let attempt = 0; attempt < 3; attempt++) {
            assertFails(yield* Effect.flip(client.request(signRequest)), {
              code: "CA_HOST_NAME_MISMATCH",
              message: `the certificate of ${origin} does not name that host in subjectAltName`,
              remedy: "STEP_CA_DNS",
              nothingWasSent: true
            })
          }
          assert.deepStrictEqual(server.requests, [])
        }
      }
    })
  )

  it.live("speaks TLS 1.2 and 1.3, and refuses 1.1", () =>
    Effect.gen(function* () {
      for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
        const { client } = yield* facing(json(200, { ok: true }), {}, { maxVersion, minVersion: maxVersion })
        assert.deepStrictEqual((yield* client.request(signRequest)).body, { ok: true })
      }
      const { client, origin } = yield* facing(
        json(200, {}),
        {},
        { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }
      )
      assertFails(yield* Effect.flip(client.request(signRequest)), {
        code: "CA_TLS_FAILED",
        message: `the TLS handshake with ${origin} failed (ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION)`,
        remedy: "openssl s_client -connect HOST:PORT",
        nothingWasSent: true
      })
    })
  )
})

describe("what fails before anything is sent", () => {
  it.live("a port on which nothing listens", () =>
    Effect.gen(function* () {
      const origin = `https://localhost:${yield* freePort}`
      const client = yield* clientOf(origin, (yield* makeRoot("root")).pem)
      assertFails(yield* Effect.flip(client.request(signRequest)), {
        code: "CA_CONNECTION_REFUSED",
        message: `${origin} refused the connection (ECONNREFUSED)`,
        remedy: "start the CA",
        nothingWasSent: true
      })
    })
  )

  it.live("a name without an address (RFC 6761 §6.4)", () =>
    Effect.gen(function* () {
      const origin = "https://step-ca.invalid:9000"
      const client = yield* clientOf(origin, (yield* makeRoot("root")).pem, {
        connectTimeout: Duration.seconds(20),
        totalTimeout: Duration.seconds(30)
      })
      const error = yield* Effect.flip(client.request(signRequest))
      assert.strictEqual(error.code, "CA_NAME_NOT_RESOLVED")
      assert.match(
        error.message,
        /^the host name of https:\/\/step-ca\.invalid:9000 has no address \((ENOTFOUND|EAI_AGAIN)\)$/
      )
      assert.include(error.remediation, "getent hosts NAME")
      assert.isTrue(nothingWasSent(error))
    })
  )

  it.live("an address to which the system knows no way", () =>
    Effect.gen(function* () {
      const origin = "https://255.255.255.255:9000"
      const client = yield* clientOf(origin, (yield* makeRoot("root")).pem)
      const error = yield* Effect.flip(client.request(signRequest))
      assert.strictEqual(error.code, "CA_UNREACHABLE")
      assert.match(
        error.message,
        /^https:\/\/255\.255\.255\.255:9000 cannot be reached \((ENETUNREACH|EACCES|EHOSTUNREACH|EINVAL)\)$/
      )
      assert.include(error.remediation, "check the route and the firewall")
      assert.isTrue(nothingWasSent(error))
    })
  )

  it.live("a port that speaks plain HTTP", () =>
    Effect.gen(function* () {
      const server = yield* makePlainHttpServer
      const origin = `https://localhost:${server.port}`
      const client = yield* clientOf(origin, (yield* makeRoot("root")).pem)
      const error = yield* Effect.flip(client.request(signRequest))
      assert.strictEqual(error.code, "CA_TLS_FAILED")
      assert.match(
        error.message,
        /^the TLS handshake with https:\/\/localhost:\d+ failed \(ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)\)$/
      )
      assert.include(error.remediation, "no plain HTTP or older server")
      assert.isTrue(nothingWasSent(error))
      assert.deepStrictEqual(server.requests, [])
    })
  )

  it.live("a server that closes or resets the connection in the handshake", () =>
    Effect.gen(function* () {
      for (const cut of ["end", "resetAndDestroy"] as const) {
        const server = yield* makeTcpServer((socket) => void socket.once("data", () => socket[cut]()))
        const origin = `https://localhost:${server.port}`
        const client = yield* clientOf(origin, (yield* makeRoot("root")).pem)
        assertFails(yield* Effect.flip(client.request(signRequest)), {
          code: "CA_TLS_FAILED",
          message: `the TLS handshake with ${origin} failed (ECONNRESET)`,
          remedy: "openssl s_client",
          nothingWasSent: true
        })
      }
    })
  )

  it.live("a server that accepts the connection and never answers the handshake", () =>
    Effect.gen(function* () {
      const server = yield* makeTcpServer(() => undefined)
      const origin = `https://localhost:${server.port}`
      const client = yield* clientOf(origin, (yield* makeRoot("root")).pem, shortTimeouts)
      assertFails(yield* Effect.flip(client.request(signRequest)), {
        code: "CA_TIMEOUT",
        message: `no connection to ${origin} within 2000 ms`,
        remedy: "check the CA's load",
        nothingWasSent: true
      })
    })
  )

  it.live("a request that waits for a free connection until its time is over", () =>
    Effect.gen(function* () {
      const { client, origin, server } = yield* facing(silence, { ...shortTimeouts, connections: 1 })
      const [first, second] = yield* Effect.all(
        [Effect.flip(client.request(signRequest)), Effect.flip(client.request(signRequest))],
        { concurrency: 2 }
      )
      assert.strictEqual(first.message, `no complete answer from ${origin} within 3000 ms`)
      assert.isFalse(nothingWasSent(first))
      assert.strictEqual(second.message, `no connection to ${origin} within 3000 ms`)
      assert.isTrue(nothingWasSent(second))
      assert.strictEqual(server.requests.length, 1)
    })
  )
})

describe("what fails after the request was sent", () => {
  const small = { maxResponseBytes: 64 }

  const failures: ReadonlyArray<
    readonly [
      name: string,
      behaviour: Behaviour,
      options: Partial<PinnedHttpClientOptions>,
      code: string,
      message: string,
      remedy: string
    ]
  > = [
    [
      "no answer but the end of the connection",
      hangUp,
      {},
      "CA_CONNECTION_RESET",
      "ORIGIN closed the connection before an answer",
      "look whether the CA restarted"
    ],
    [
      "half a status line",
      raw("HTTP/1.1 20"),
      {},
      "CA_CONNECTION_RESET",
      "ORIGIN closed the connection before an answer",
      "look whether the CA restarted"
    ],
    [
      "silence",
      silence,
      shortTimeouts,
      "CA_TIMEOUT",
      "no complete answer from ORIGIN within 3000 ms",
      "check the CA's load"
    ],
    [
      "silence in the middle of the body",
      stallInBody(201),
      shortTimeouts,
      "CA_TIMEOUT",
      "no complete answer from ORIGIN within 3000 ms",
      "check the CA's load"
    ],
    [
      "a Content-Length beyond the bound",
      json(200, "x".repeat(63)),
      small,
      "CA_RESPONSE_TOO_LARGE",
      "the answer of ORIGIN is larger than 64 bytes",
      "curl --cacert ROOT_FILE URL/health"
    ],
    [
      "chunks beyond the bound",
      bodyInChunks(13, 5),
      small,
      "CA_RESPONSE_TOO_LARGE",
      "the answer of ORIGIN is larger than 64 bytes",
      "curl --cacert ROOT_FILE URL/health"
    ],
    [
      "a head beyond the bound",
      json(200, {}, { "x-long": "x".repeat(20_000) }),
      {},
      "CA_RESPONSE_TOO_LARGE",
      "the answer of ORIGIN is larger than 16384 bytes",
      "curl --cacert ROOT_FILE URL/health"
    ],
    [
      "less body than Content-Length says",
      raw("HTTP/1.1 201 Created", "content-length: 100", "", '{"crt":"PEM"}'),
      {},
      "CA_RESPONSE_TRUNCATED",
      "the answer of ORIGIN ended before its body was complete",
      "restarted, and try again"
    ],
    [
      "less body than Content-Length says, on a connection that was to close",
      raw("HTTP/1.1 201 Created", "connection: close", "content-length: 100", "", '{"crt":"PEM"}'),
      {},
      "CA_RESPONSE_TRUNCATED",
      "the answer of ORIGIN ended before its body was complete",
      "restarted, and try again"
    ],
    [
      "chunks without the last one (RFC 9112 §7.1)",
      raw("HTTP/1.1 201 Created", "transfer-encoding: chunked", "", "d", '{"crt":"PEM"}', ""),
      {},
      "CA_RESPONSE_TRUNCATED",
      "the answer of ORIGIN ended before its body was complete",
      "restarted, and try again"
    ],
    [
      "an error page with status 200",
      text(200, "<html>It works!</html>"),
      {},
      "CA_RESPONSE_NOT_JSON",
      "ORIGIN answered 200 with a body that is not JSON (RFC 8259)",
      "STEP_CA_URL names step-ca itself"
    ],
    [
      "JSON that is cut off",
      text(201, '{"crt":"-----BEGIN'),
      {},
      "CA_RESPONSE_NOT_JSON",
      "ORIGIN answered 201 with a body that is not JSON (RFC 8259)",
      "STEP_CA_URL names step-ca itself"
    ],
    [
      "compressed JSON that was not asked for, which is not unfolded",
      gzipBomb(50_000_000),
      {},
      "CA_RESPONSE_NOT_JSON",
      "ORIGIN answered 200 with a body that is not JSON (RFC 8259)",
      "STEP_CA_URL names step-ca itself"
    ],
    [
      "no body",
      text(200, ""),
      {},
      "CA_RESPONSE_EMPTY",
      "ORIGIN answered 200 without a body",
      "STEP_CA_URL names step-ca itself"
    ],
    [
      "204",
      text(204, ""),
      {},
      "CA_RESPONSE_EMPTY",
      "ORIGIN answered 204 without a body",
      "STEP_CA_URL names step-ca itself"
    ],
    [
      "something that is not HTTP",
      raw("220 mail.example ESMTP", ""),
      {},
      "CA_RESPONSE_SHAPE",
      "ORIGIN: the answer is not HTTP/1.1 (RFC 9112)",
      "0.30.2 is tested"
    ],
    [
      "two lengths of one body (RFC 9112 §6.3)",
      raw("HTTP/1.1 201 Created", "content-length: 2", "content-length: 5", "", "{}xyz"),
      {},
      "CA_RESPONSE_SHAPE",
      "ORIGIN: the answer is not HTTP/1.1 (RFC 9112)",
      "0.30.2 is tested"
    ],
    [
      "a chunk without a size",
      raw("HTTP/1.1 201 Created", "transfer-encoding: chunked", "", "zz", "{}", ""),
      {},
      "CA_RESPONSE_TRUNCATED",
      "the answer of ORIGIN ended before its body was complete",
      "restarted, and try again"
    ]
  ]

  it.live.each(failures)("%s", ([, behaviour, options, code, message, remedy]) =>
    Effect.gen(function* () {
      const { client, origin, server } = yield* facing(behaviour, options)
      assertFails(yield* Effect.flip(client.request(signRequest)), {
        code,
        message: message.replace("ORIGIN", origin),
        remedy,
        nothingWasSent: false
      })
      assert.strictEqual(server.requests.length, 1)
    })
  )

  it.live("a redirect is not followed, and its body not read", () =>
    Effect.gen(function* () {
      const target = yield* facing(json(200, {}))
      for (const status of [301, 302, 303, 307, 308]) {
        const { client, origin, server } = yield* facing((response) => {
          response.writeHead(status, { location: `${target.origin}/1.0/sign` })
          response.write("never ends")
        })
        assertFails(yield* Effect.flip(client.request(signRequest)), {
          code: "CA_REDIRECTED",
          message: `${origin} answered ${status}, a redirect`,
          remedy: "set STEP_CA_URL to the CA's own address",
          nothingWasSent: false
        })
        yield* server.until(({ open }) => open() === 0)
      }
      assert.strictEqual(target.server.connections(), 0)
    })
  )
})

it("tells of each error of the union whether anything was sent", () => {
  const origin = "https://localhost:9000"
  const fields = {
    origin,
    reason: "R",
    phase: "connect",
    afterMillis: 1,
    mostBytes: 1,
    status: 200,
    problem: "P"
  }
  const unsent = TransportError.members
    .map((Member) => Schema.decodeUnknownSync(Member)({ _tag: Member.identifier, ...fields }))
    .filter(nothingWasSent)
  assert.deepStrictEqual(
    unsent.map(({ _tag }) => _tag),
    [
      "CaConnectionRefused",
      "CaUnreachable",
      "CaNameNotResolved",
      "CaIssuerUnknown",
      "CaCertificateExpired",
      "CaHostNameMismatch",
      "CaTlsFailed",
      "CaTimeout"
    ]
  )
  assert.isFalse(nothingWasSent(new CaTimeout({ origin, phase: "answer", afterMillis: 1 })))
})

describe("what it returns", () => {
  it.live("a body of exactly the bound, in both framings", () =>
    Effect.gen(function* () {
      const body = JSON.stringify("x".repeat(62))
      const framings: ReadonlyArray<Behaviour> = [
        text(200, body),
        (response) => {
          response.write(body.slice(0, 30))
          response.end(body.slice(30))
        }
      ]
      for (const behaviour of framings) {
        const { client } = yield* facing(behaviour, { maxResponseBytes: 64 })
        assert.strictEqual((yield* client.request(signRequest)).body, "x".repeat(62))
      }
    })
  )

  it.live("a status that refuses, with its JSON and headers", () =>
    Effect.gen(function* () {
      for (const status of [400, 401, 403, 404, 429, 500, 503]) {
        const { client } = yield* facing(
          json(status, { status, message: "no" }, { "x-request-id": "r1", "retry-after": "7" })
        )
        const response = yield* client.request(signRequest)
        assert.strictEqual(response.status, status)
        assert.deepStrictEqual(response.body, { status, message: "no" })
        assert.strictEqual(response.headers["x-request-id"], "r1")
        assert.strictEqual(response.headers["retry-after"], "7")
        assert.isFalse(Number.isNaN(Date.parse(response.headers["date"] ?? "")))
      }
    })
  )

  const refusals: ReadonlyArray<readonly [string, number, Behaviour]> = [
    ["an error page", 502, text(502, "<html>Bad Gateway</html>")],
    ["no body", 401, text(401, "")],
    ["a body beyond the bound", 500, text(500, "x".repeat(65))],
    ["a truncated body", 403, raw("HTTP/1.1 403 Forbidden", "content-length: 100", "", '{"message":')],
    ["a body that stalls", 500, stallInBody(500)]
  ]

  it.live.each(refusals)("the status alone where it comes with %s", ([, status, behaviour]) =>
    Effect.gen(function* () {
      const { client } = yield* facing(behaviour, { ...shortTimeouts, maxResponseBytes: 64 })
      const response = yield* client.request(signRequest)
      assert.deepStrictEqual([response.status, response.body], [status, undefined])
    })
  )

  it.live("bytes where bytes are asked for", () =>
    Effect.gen(function* () {
      const der = Uint8Array.of(0x30, 0x03, 0x02, 0x01, 0xff)
      const { client, server } = yield* facing((response) => void response.end(der))
      const response = yield* client.request({ method: "GET", path: "/crl", accept: "bytes" })
      assert.deepStrictEqual(response.body, der)
      assert.strictEqual(server.requests[0]?.headers["accept"], "*/*")
      assert.strictEqual(
        (yield* Effect.flip(client.request({ method: "GET", path: "/crl" }))).code,
        "CA_RESPONSE_NOT_JSON"
      )
    })
  )
})
