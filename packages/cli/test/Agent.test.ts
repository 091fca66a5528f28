/** `mosaic federation agent` as a peer has it: processes that live, fail and are killed, before real gateways. */
import { spawnSync } from "node:child_process"
import { createPrivateKey } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, watch, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import type { GrantId } from "@mosaic-federation/domain/GrantId"
import { EmbeddedPostgres } from "@mosaic-federation/issuance/EmbeddedPostgres"
import { processIsRunning } from "@mosaic-federation/issuance/processIsRunning"
import type { ReceivedRequest } from "@mosaic-federation/testing/HostileServer"
import { StepCaProcess } from "@mosaic-federation/testing/StepCaProcess"
import { Duration, Effect, Layer, Redacted } from "effect"
import { isRenewed, type LogLine, makeDue, startAgent } from "./support/agentProcess.ts"
import { startGateway } from "./support/gatewayProcess.ts"
import { heldWay } from "./support/heldCa.ts"
import { documentOf, type ErrorDocument, mosaic, type Station, station } from "./support/mosaic.ts"
import { grantor, grantorAt, grantorBehindProxy, heldIn, newcomer } from "./support/peers.ts"

interface StatusDocument {
  readonly state: string
  readonly serial: string
  readonly renewals: number
  readonly failures: number
  readonly nextTryAt: string | null
  readonly agentRuns: boolean
  readonly agentPid: number | null
  readonly error: { readonly code: string; readonly remediation: string } | null
  readonly hookRunning: { readonly serial: string; readonly since: string } | null
  readonly hook: {
    readonly serial: string
    readonly failures: number
    readonly error: { readonly code: string } | null
  } | null
}

/** Enrolled, with what it takes to go on. */
const enrolledPeer = Effect.fnUntraced(function* (token: string) {
  const peer = yield* newcomer(token)
  const ran = yield* mosaic(peer.where, ["federation", "enroll", "--token-file", "token", "--out", "peer"])
  assert.strictEqual(ran.code, 0, ran.stderr)
  return peer
})

const agent = (where: Station, ...args: ReadonlyArray<string>) =>
  mosaic(where, ["federation", "agent", "--dir", "peer", ...args])

const status = (stdout: string) => documentOf<StatusDocument>(stdout)

const hasProof = ({ headers }: ReceivedRequest) => headers["mosaic-renewal-proof"] !== undefined

const isNotRenewed = ({ message }: LogLine) => message === "the certificate is not renewed"

/** Waits for what happens in the directory to make it so. */
const until = (dir: string, isSo: () => boolean) =>
  Effect.callback<void>((resume) => {
    const look = () => {
      if (!isSo()) return
      watcher.close()
      resume(Effect.void)
    }
    const watcher = watch(dir, look)
    look()
    return Effect.sync(() => watcher.close())
  })

/** Waits for something to happen to a name in the directory. */
const changes = (dir: string, name: string) =>
  Effect.callback<void>((resume) => {
    const watcher = watch(dir, { recursive: name === "versions" }, (_event, changed) => {
      if (changed?.startsWith(name) === true) resume(Effect.sync(() => watcher.close()))
    })
    return Effect.sync(() => watcher.close())
  })

const script = (where: Station, name: string, body: string) => {
  const path = join(where.directory, name)
  writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 })
  return path
}

const linesIn = (path: string) =>
  existsSync(path)
    ? readFileSync(path, "utf8")
        .split("\n")
        .filter((line) => line !== "")
    : []

/** Each once: a hook that was killed may run again. */
const toldIn = (path: string) => [...new Set(linesIn(path))]

/** Certificates of 90 s: not renewed within 9 s of their issuance, and given again for half of their life. */
const lifetimes = { min: "2s", default: "90s", max: "24h" }

layer(StepCaProcess.layer({ lifetimes }), { excludeTestServices: true, timeout: "5 minutes" })(
  "mosaic federation agent",
  (it) => {
    it.effect("renews with a new key, runs the hook with the new files, and ends loudly with the grant", () =>
      Effect.gen(function* () {
        const { gateway, newGrant, newToken, operator } = yield* grantor()
        const grant = yield* newGrant()
        const { dir, where } = yield* enrolledPeer(yield* newToken(grant))
        const first = heldIn(dir)
        const told = join(where.directory, "told")
        const hook = script(
          where,
          "hook",
          `cmp "$MOSAIC_PEER_KEY" "$MOSAIC_PEER_DIR/current/peer.key" && echo "$1 $MOSAIC_PEER_SERIAL $MOSAIC_PEER_GRANT" >>'${told}'`
        )
        makeDue(dir)
        const running = yield* startAgent(where, "--exec", `${hook} reload`, "--json")
        assert.hasAllKeys(JSON.parse(yield* running.began), ["directory", "pid", "serial", "notAfter"])
        // The first certificate is a moment old: the gateway says when to come again, and is believed.
        yield* running.logged(isRenewed)
        yield* until(where.directory, () => toldIn(told).length === 1)
        assert.strictEqual(yield* running.end("SIGTERM"), 0)
        makeDue(dir)
        const second = yield* startAgent(where, "--exec", `${hook} reload`)
        yield* second.logged(isRenewed)
        yield* until(where.directory, () => toldIn(told).length === 2)
        const again = yield* agent(where, "--once", "--json")
        assert.strictEqual(documentOf<ErrorDocument>(again.stdout).error.code, "PEER_DIRECTORY_BUSY")
        const seen = yield* agent(where, "--status", "--json")
        assert.strictEqual(seen.code, 0, seen.stderr)
        const now = status(seen.stdout)
        assert.deepInclude(now, { state: "valid", renewals: 2, failures: 0, error: null })
        assert.isNumber(now.agentPid)
        const held = heldIn(dir)
        assert.strictEqual(held.serial, now.serial)
        assert.isTrue(held.certificate.checkPrivateKey(createPrivateKey(held.key)))
        assert.notStrictEqual(held.key, first.key)
        const records = yield* operator.certificates.list({ query: { grant } })
        assert.lengthOf(records.certificates, 3)
        assert.deepStrictEqual(
          toldIn(told),
          records.certificates
            .slice(0, 2)
            .toReversed()
            .map(({ serial }) => `reload ${serial} ${grant}`)
        )
        assert.strictEqual(readFileSync(join(dir, "peer.key"), "utf8"), held.key)
        const metrics = readFileSync(join(dir, "metrics.prom"), "utf8")
        assert.include(metrics, `mosaic_peer_renewals_total{grant="${grant}"} 2`)

        yield* operator.grants.revoke({ params: { id: grant }, payload: { reason: "the contract ended" } })
        assert.strictEqual(yield* second.end("SIGTERM"), 0)
        makeDue(dir)
        const last = yield* startAgent(where)
        assert.strictEqual(yield* last.exited, 3)
        const log = last.lines.join("\n")
        assert.include(log, "THE GRANT IS OVER")
        assert.match(log, /\(GRANT_REVOKED\)\n {2}why: .*\n {2}do: {2}/)
        const over = yield* agent(where, "--status", "--json")
        assert.deepStrictEqual([over.code, status(over.stdout).state], [3, "over"])
        assert.isNull(status(over.stdout).nextTryAt)
        assert.include(readFileSync(join(dir, "status.json"), "utf8"), '"state": "over"')
        assert.include(
          readFileSync(join(dir, "metrics.prom"), "utf8"),
          `mosaic_peer_grant_over{grant="${grant}"} 1`
        )
        // Nobody is asked again for what is known.
        const before = gateway.log().length
        assert.strictEqual((yield* agent(where)).code, 3)
        assert.strictEqual((yield* agent(where, "--once")).code, 3)
        assert.lengthOf(gateway.log(), before)
      })
    )

    it.effect(
      "behind a proxy that ends TLS: renews by a proof, through lost answers and a gateway that is killed",
      () =>
        Effect.gen(function* () {
          const {
            gateway,
            newGrant,
            newToken,
            operatorAt,
            proxy,
            where: home
          } = yield* grantorBehindProxy({
            MOSAIC_PLAIN_HTTP: "true"
          })
          assert.match(gateway.url, /^http:/)
          const grant = yield* newGrant()
          const { dir, where } = yield* enrolledPeer(yield* newToken(grant))
          makeDue(dir)
          proxy.decide((request) => (hasProof(request) ? "lose answer" : "pass"))
          const running = yield* startAgent(where)
          yield* gateway.logged(({ route, status }) => route === "/v1/renew" && status === 201)
          yield* running.logged(isNotRenewed, 2)
          yield* gateway.end("SIGKILL")
          const failing = yield* agent(where, "--status", "--json")
          assert.deepStrictEqual([failing.code, status(failing.stdout).state], [5, "failing"])
          const next = yield* startGateway(home, {
            STEP_CA_ROOT_CERT_PATH: join(where.directory, "peer", "root.crt"),
            MOSAIC_PUBLIC_URL: proxy.url,
            MOSAIC_TRUSTED_PROXIES: "127.0.0.1",
            MOSAIC_PLAIN_HTTP: "true"
          })
          proxy.lead(next.url)
          proxy.decide(() => "pass")
          yield* running.logged(isRenewed)
          assert.strictEqual(yield* running.end("SIGTERM"), 0)
          const operator = yield* operatorAt(next.url)
          const { certificates } = yield* operator.certificates.list({ query: { grant, state: "issued" } })
          const requests = new Set(certificates.map(({ csrSha256 }) => csrSha256))
          assert.strictEqual(requests.size, 2, "the key whose answer was lost is asked for again")
          assert.include(
            certificates.map(({ serial }) => serial),
            heldIn(dir).serial
          )
          // The first try, by TLS, could show nothing; each proof is good for one request.
          const proofs = proxy.server.requests
            .filter(hasProof)
            .map(({ headers }) => headers["mosaic-renewal-proof"])
          assert.isAtLeast(proofs.length, 2)
          assert.strictEqual(new Set(proofs).size, proofs.length)
        })
    )

    it.effect(
      "killed at any point, the next one goes on: nothing is lost, and nothing is asked for twice",
      () =>
        Effect.gen(function* () {
          const { newGrant, newToken, operator, proxy } = yield* grantorBehindProxy()
          const grant = yield* newGrant()
          const { dir, where } = yield* enrolledPeer(yield* newToken(grant))
          /** How many keys certificates were issued for. */
          const requests = Effect.map(
            operator.certificates.list({ query: { grant, state: "issued" } }),
            ({ certificates }) => new Set(certificates.map(({ csrSha256 }) => csrSha256)).size
          )

          // Before the gateway has the request, and before the peer has the answer.
          makeDue(dir)
          for (const fate of ["hold request", "hold answer"] as const) {
            proxy.decide((request) => (hasProof(request) ? fate : "pass"))
            const killed = yield* startAgent(where)
            yield* proxy.holds
            yield* killed.end("SIGKILL")
            proxy.release()
          }
          proxy.decide(() => "pass")
          const key = readFileSync(join(dir, "pending", "peer.key"), "utf8")
          const next = yield* startAgent(where)
          yield* next.logged(isRenewed)
          assert.strictEqual(yield* next.end("SIGTERM"), 0)
          assert.strictEqual(heldIn(dir).key, key)
          assert.strictEqual(yield* requests, 2)

          // While files are put in place, wherever that is just then.
          for (const name of ["pending", "versions", "current", "agent.json"]) {
            const before = heldIn(dir).serial
            makeDue(dir)
            const killed = yield* startAgent(where)
            yield* changes(dir, name)
            yield* killed.end("SIGKILL")
            const { certificate, key } = heldIn(dir)
            assert.isTrue(certificate.checkPrivateKey(createPrivateKey(key)), name)
            if (heldIn(dir).serial === before) {
              const again = yield* startAgent(where)
              yield* again.logged(isRenewed)
              assert.strictEqual(yield* again.end("SIGTERM"), 0)
            }
            assert.notStrictEqual(heldIn(dir).serial, before)
          }
          assert.strictEqual(yield* requests, 6)
        })
    )

    it.effect(
      "runs the hook until it has done its work, also after a kill, and renews whatever it does",
      () =>
        Effect.gen(function* () {
          const { newGrant, newToken } = yield* grantor()
          const { dir, where } = yield* enrolledPeer(yield* newToken(yield* newGrant()))
          const told = join(where.directory, "told")
          const slow = script(where, "slow", `echo "$MOSAIC_PEER_SERIAL" >>'${told}'; exec sleep 600`)
          const quick = script(where, "quick", `echo "$MOSAIC_PEER_SERIAL" >>'${told}'`)
          makeDue(dir)
          const killed = yield* startAgent(where, "--exec", slow)
          yield* until(where.directory, () => linesIn(told).length > 0)
          const { serial } = heldIn(dir)
          yield* killed.end("SIGKILL")
          const again = yield* agent(where, "--once", "--exec", quick, "--json")
          assert.strictEqual(again.code, 0, again.stderr)
          assert.deepStrictEqual(linesIn(told), [serial, serial])
          assert.strictEqual((yield* agent(where, "--once", "--exec", quick)).code, 0)
          assert.lengthOf(linesIn(told), 2)

          makeDue(dir)
          const broken = yield* startAgent(where, "--exec", "false")
          yield* broken.logged(({ message }) => message === "the hook failed")
          yield* broken.end("SIGTERM")
          assert.notStrictEqual(heldIn(dir).serial, serial)
          const trouble = yield* agent(where, "--status", "--json")
          assert.deepStrictEqual(
            [trouble.code, status(trouble.stdout).hook?.error?.code],
            [8, "RENEWAL_HOOK_FAILED"]
          )
          assert.include(trouble.stderr, "run the command by hand and correct it")
          for (const exec of ["reload && restart", "sh -c 'reload'", "$RELOAD", " "]) {
            const refused = yield* agent(where, "--exec", exec, "--json")
            assert.deepStrictEqual(
              [refused.code, documentOf<ErrorDocument>(refused.stdout).error.code],
              [2, "USAGE_INVALID"]
            )
          }
        })
    )

    it.effect("renews beside a hook that hangs, and runs never two of them at once", () =>
      Effect.gen(function* () {
        const { newGrant, newToken } = yield* grantor({ MOSAIC_CERT_DEFAULT: "12s" })
        const { where } = yield* enrolledPeer(yield* newToken(yield* newGrant()))
        const told = join(where.directory, "told")
        const hook = script(where, "hook", `echo "$$ $MOSAIC_PEER_SERIAL" >>'${told}'; exec sleep 1000`)
        const begun = () => linesIn(told).map((line) => line.split(" "))
        const hookOf = Effect.map(agent(where, "--status", "--json"), ({ stdout }) => status(stdout))
        const running = yield* startAgent(where, "--exec", hook)
        yield* running.logged(isRenewed, 3)
        assert.lengthOf(begun(), 1)
        const [[first = "", serial = ""] = []] = begun()
        const beside = yield* hookOf
        assert.strictEqual(beside.hookRunning?.serial, serial)
        assert.notStrictEqual(beside.serial, serial)
        assert.isAtLeast(beside.renewals, 3)
        const shown = yield* agent(where, "--status")
        assert.match(shown.stdout, /\n {2}hook +running since /)

        process.kill(Number(first), "SIGTERM")
        yield* running.logged(
          ({ message, why }) => message === "the hook failed" && String(why).endsWith("ended by SIGTERM")
        )
        yield* until(where.directory, () => begun().length === 2)
        const [, [second = "", newer = ""] = []] = begun()
        assert.notStrictEqual(newer, serial)
        assert.strictEqual(yield* running.end("SIGTERM"), 0)
        assert.deepStrictEqual(
          [first, second].map((pid) => processIsRunning(Number(pid))),
          [false, false]
        )
        const ended = yield* hookOf
        assert.isNull(ended.hookRunning)
        assert.deepInclude(ended.hook, { serial, failures: 1 })
      })
    )

    it.effect("a certificate that ends before its grant is said as that, after tries until its end", () =>
      Effect.gen(function* () {
        const { gateway, newGrant, newToken, operator } = yield* grantor({ MOSAIC_CERT_DEFAULT: "12s" })
        const endedBy = Effect.fnUntraced(function* (
          reason: string,
          after: (id: GrantId) => Effect.Effect<unknown, unknown>
        ) {
          const id = yield* newGrant()
          const { dir, where } = yield* enrolledPeer(yield* newToken(id))
          yield* Effect.orDie(after(id))
          const running = yield* startAgent(where)
          yield* running.logged(isNotRenewed, 2)
          assert.strictEqual(yield* running.exited, 3)
          const log = running.lines.join("\n")
          assert.include(log, reason)
          assert.include(log, "THE CERTIFICATE HAS EXPIRED")
          assert.match(
            log,
            /\(PEER_CERTIFICATE_EXPIRED\)\n {2}why: .* expired at .*\n {2}do: .* enroll again/
          )
          assert.notInclude(log, "THE GRANT IS OVER")
          const metrics = readFileSync(join(dir, "metrics.prom"), "utf8")
          assert.include(metrics, `mosaic_peer_grant_over{grant="${id}"} 0`)
          assert.include(metrics, `mosaic_peer_certificate_ended{grant="${id}"} 1`)
          const seen = yield* agent(where, "--status")
          assert.strictEqual(seen.code, 3)
          assert.match(seen.stdout, /^Certificate \d+: EXPIRED\n/)
        })
        yield* endedBy("GRANT_SUSPENDED", (id) => operator.grants.suspend({ params: { id } }))
        yield* endedBy("GATEWAY_UNREACHABLE", () => gateway.end("SIGKILL"))
      })
    )

    it.effect("waits while the grant is suspended, and ends with a grant that comes to its end", () =>
      Effect.gen(function* () {
        const { newGrant, newToken, operator } = yield* grantor()
        const id = yield* newGrant()
        const { dir, where } = yield* enrolledPeer(yield* newToken(id))
        makeDue(dir)
        yield* operator.grants.suspend({ params: { id } })
        const waiting = yield* startAgent(where)
        yield* waiting.logged(isNotRenewed)
        const seen = yield* agent(where, "--status", "--json")
        assert.deepStrictEqual([seen.code, status(seen.stdout).state], [3, "suspended"])
        yield* operator.grants.resume({ params: { id } })
        yield* waiting.logged(isRenewed)
        yield* waiting.end("SIGTERM")

        const brief = yield* newGrant(Duration.seconds(40))
        const last = yield* enrolledPeer(yield* newToken(brief))
        const ending = yield* startAgent(last.where)
        assert.strictEqual(yield* ending.exited, 3)
        const log = ending.lines.join("\n")
        assert.include(log, "THE GRANT IS OVER")
        assert.include(log, "enroll again")
        const over = yield* agent(last.where, "--status", "--json")
        assert.strictEqual(over.code, 3)
        assert.include(["expired", "over"], status(over.stdout).state)
      })
    )

    it.effect("says of an agent that is stopped that it runs, and does not answer", () =>
      Effect.gen(function* () {
        const { newGrant, newToken } = yield* grantor()
        const { where } = yield* enrolledPeer(yield* newToken(yield* newGrant()))
        const stopped = yield* startAgent(where, "--json")
        const { pid } = JSON.parse(yield* stopped.began) as { readonly pid: number }
        const before = status((yield* agent(where, "--status", "--json")).stdout)
        assert.deepInclude(before, { agentRuns: true, agentPid: pid })
        process.kill(pid, "SIGSTOP")
        const seen = status((yield* agent(where, "--status", "--json")).stdout)
        assert.deepInclude(seen, { agentRuns: true, agentPid: null })
        const shown = yield* agent(where, "--status")
        assert.match(shown.stdout, /\n {2}agent +a process that does not answer: it may be stopped\n/)
        const once = yield* agent(where, "--once", "--json")
        const { error } = documentOf<ErrorDocument>(once.stdout)
        assert.deepStrictEqual([once.code, error.code], [7, "PEER_DIRECTORY_BUSY"])
        assert.include(error.message, "in use by a process that does not answer; it may be stopped")
        assert.include(error.remediation, "pgrep -af federation")
        const found = spawnSync("pgrep", ["-af", "federation"], { encoding: "utf8" })
        if (found.error === undefined)
          assert.include(
            found.stdout.split("\n").map((line) => Number.parseInt(line, 10)),
            pid
          )
        process.kill(pid, "SIGCONT")
        assert.strictEqual(yield* stopped.end("SIGTERM"), 0)
        const after = status((yield* agent(where, "--status", "--json")).stdout)
        assert.deepInclude(after, { agentRuns: false, agentPid: null })
      })
    )

    it.effect("tells a caller to ask the gateway's operator where the gateway's own database is away", () =>
      Effect.gen(function* () {
        const ca = yield* StepCaProcess
        const home = yield* station()
        const postgres = yield* Layer.build(EmbeddedPostgres.layerAt(home.environment["MOSAIC_HOME"] ?? ""))
        const { connection } = yield* Effect.provide(EmbeddedPostgres, postgres)
        const way = yield* heldWay({ path: connection.path })
        const password = encodeURIComponent(Redacted.value(connection.password))
        const database = `postgresql://${connection.username}:${password}@127.0.0.1:${way.port}/${connection.database}?sslmode=disable`
        const { gateway, newGrant, newToken, operator } = yield* grantorAt({
          ...ca,
          environment: { ...ca.environment, DATABASE_URL: database }
        })
        const { dir, where } = yield* enrolledPeer(yield* newToken(yield* newGrant()))
        const whoami = mosaic(where, ["federation", "whoami", "--dir", "peer", "--json"])
        assert.strictEqual((yield* whoami).code, 0)
        const remedy =
          /^tell the gateway's operator the request id (\S+), under which its log has the cause; try again$/
        way.hold("connections")
        const refused = yield* whoami
        const { error } = documentOf<ErrorDocument>(refused.stdout)
        assert.deepStrictEqual([refused.code, error.code], [7, "STORAGE_UNAVAILABLE"])
        const [, requestId = ""] = remedy.exec(error.remediation) ?? []
        assert.include(error.message, `the gateway's log has the reason under request ${requestId}`)
        yield* gateway.logged((line) => line["requestId"] === requestId && line["route"] === "/v1/whoami")
        const remote = yield* Effect.flip(operator.grants.list({ query: {} }))
        assert.match("remediation" in remote ? remote.remediation : "", remedy)

        makeDue(dir)
        const once = yield* agent(where, "--once")
        assert.match(
          once.stderr,
          /\n {2}do: {2}tell the gateway's operator the request id \S+, .*; try again\n/
        )
        const seen = status((yield* agent(where, "--status", "--json")).stdout)
        assert.deepStrictEqual([seen.state, seen.error?.code], ["failing", "STORAGE_UNAVAILABLE"])
        assert.match(seen.error?.remediation ?? "", remedy)
        way.release()
      })
    )

    it.effect("says what is wrong with a directory", () =>
      Effect.gen(function* () {
        const { where } = yield* newcomer("unused")
        const refusal = Effect.map(agent(where, "--json"), ({ code, stdout }) => {
          const { error } = documentOf<ErrorDocument>(stdout)
          return [code, error.code, error.message, error.remediation] as const
        })
        const absent = yield* refusal
        assert.deepStrictEqual(absent.slice(0, 2), [7, "PEER_DIRECTORY_UNUSABLE"])
        assert.include(absent[3], "enroll first: mosaic federation enroll")
        mkdirSync(join(where.directory, "peer"), { mode: 0o700 })
        assert.include((yield* refusal)[2], "there is no certificate in it")
      })
    )
  }
)
