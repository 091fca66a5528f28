import { BlockList } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Option } from "effect"
import { HttpServerRequest } from "effect/http"
import { clientAddress, clientNetwork } from "../src/server/ClientAddress.ts"

const proxies = new BlockList()
proxies.addSubnet("10.0.0.0", 8, "ipv4")
proxies.addAddress("::1", "ipv6")

const from = (address: string, forwarded?: string) =>
  HttpServerRequest.fromWeb(
    new Request("http://gateway.example/v1/grants", {
      headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded }
    })
  ).modify({ remoteAddress: Option.some(address) })

describe("the address of whoever asks", () => {
  const trusting = (address: string, forwarded?: string) =>
    clientAddress(from(address, forwarded), Option.some(proxies))

  it("is the connection's, whatever the request says, where no proxy is trusted", () => {
    assert.strictEqual(clientAddress(from("203.0.113.9", "198.51.100.1"), Option.none()), "203.0.113.9")
    assert.strictEqual(clientAddress(from("::ffff:203.0.113.9"), Option.none()), "203.0.113.9")
  })

  it("is not what a stranger says who reaches the gateway past the proxy", () => {
    assert.strictEqual(trusting("203.0.113.9", "198.51.100.1"), "203.0.113.9")
  })

  it("is what the proxy saw, and not what its client claimed before it", () => {
    assert.strictEqual(trusting("10.0.0.7", "198.51.100.1"), "198.51.100.1")
    assert.strictEqual(trusting("::1", "192.0.2.66, 198.51.100.1"), "198.51.100.1")
    assert.strictEqual(trusting("10.0.0.7", "10.9.9.9, 198.51.100.1, 10.0.0.8"), "198.51.100.1")
    assert.strictEqual(trusting("::ffff:10.0.0.7", "2001:db8::7"), "2001:db8::7")
  })

  it("is the last trusted proxy's where what stands before it is no address", () => {
    for (const forwarded of ["", "unknown", "198.51.100.1:4711", "198.51.100.1,", "<script>"]) {
      assert.strictEqual(trusting("10.0.0.7", forwarded), "10.0.0.7", forwarded)
    }
  })
})

describe("the network by which addresses are counted", () => {
  it("is an IPv4 address itself, and the /64 of an IPv6 address", () => {
    const cases = [
      ["203.0.113.9", "203.0.113.9"],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
      ["2001:DB8:1:2::", "2001:db8:1:2::/64"],
      ["2001:db8::6", "2001:db8:0:0::/64"],
      ["::1", "0:0:0:0::/64"],
      ["fe80::1%eth0", "fe80:0:0:0::/64"],
      ["64:ff9b::203.0.113.9", "64:ff9b:0:0::/64"],
      ["unknown", "unknown"]
    ] as const
    for (const [address, network] of cases) assert.strictEqual(clientNetwork(address), network)
  })
})
