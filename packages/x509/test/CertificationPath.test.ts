/** The way up: every link signed and named, every CA a CA and valid, and at its end one of the pinned roots. */
import "reflect-metadata"
import { assert, describe, it } from "@effect/vitest"
import * as x509 from "@peculiar/x509"
import { Result } from "effect"
import type { Certificate } from "../src/Certificate.ts"
import { checkPath, type PathFault } from "../src/CertificationPath.ts"
import { nothing } from "./support/Der.ts"
import {
  type Authority,
  type AuthorityOptions,
  caConstraints,
  extension,
  grantId,
  keyUsages,
  makeIntermediate,
  makeKeys,
  makeLeaf,
  makeRoot,
  now,
  parsed
} from "./support/Pki.ts"

const root = await makeRoot()
const intermediate = await makeIntermediate(root)
const { publicKey } = await makeKeys()
const leafOf = async (issuer: Authority) => parsed(await makeLeaf(issuer, publicKey))
const leaf = await leafOf(intermediate)

const certificates = (...authorities: ReadonlyArray<Authority>) =>
  authorities.map(({ certificate }) => certificate)

const fault = (
  leaf: Certificate,
  chain: ReadonlyArray<Certificate>,
  roots: ReadonlyArray<Certificate> = [root.certificate],
  at = now
): PathFault => {
  const path = checkPath(leaf, chain, roots, at)
  assert(Result.isFailure(path))
  return path.failure
}

/** A chain of that many intermediates, the leaf's issuer first. */
const ladder = async (steps: number, from = root) => {
  const rungs: Array<Authority> = []
  for (let step = 1; step <= steps; step += 1)
    rungs.unshift(await makeIntermediate(rungs[0] ?? from, { name: `Intermediate ${step}` }))
  return rungs
}

describe("CertificationPath", () => {
  it("leads to the pinned root, whether the chain ends with it or not", () => {
    for (const chain of [certificates(intermediate), certificates(intermediate, root)]) {
      assert.deepStrictEqual(
        checkPath(leaf, chain, [root.certificate], now),
        Result.succeed(root.certificate)
      )
    }
  })

  it("leads from a leaf that the root itself signed", async () => {
    const direct = await leafOf(root)
    assert.deepStrictEqual(checkPath(direct, [], [root.certificate], now), Result.succeed(root.certificate))
  })

  it("leads to the right one of several roots, also of the same name", async () => {
    const namesake = await makeRoot()
    const other = await makeRoot({ name: "Other Root" })
    const roots = certificates(other, namesake, root)
    assert.deepStrictEqual(
      checkPath(leaf, certificates(intermediate), roots, now),
      Result.succeed(root.certificate)
    )
  })

  it("has at most eight intermediates", async () => {
    const eight = await ladder(8)
    const nine = await ladder(9)
    const top = [root.certificate]
    const path = async (rungs: ReadonlyArray<Authority>) => {
      const [issuer = root] = rungs
      return checkPath(await leafOf(issuer), certificates(...rungs), top, now)
    }
    assert(Result.isSuccess(await path(eight)))
    assert.deepStrictEqual(await path(nine), Result.fail({ expected: "at most 8 intermediates", found: "9" }))
  })

  it("is as long as pathLenConstraint allows", async () => {
    const short = await makeRoot({ extensions: [caConstraints(1)] })
    const [below, above] = await ladder(2, short)
    assert(below !== undefined && above !== undefined)
    assert(Result.isSuccess(checkPath(await leafOf(above), certificates(above), certificates(short), now)))
    assert.deepStrictEqual(fault(await leafOf(below), certificates(below, above), certificates(short)), {
      expected: "at most 1 intermediates below CN=Test Root (pathLenConstraint)",
      found: "2"
    })
  })

  const broken: ReadonlyArray<readonly [string, AuthorityOptions, PathFault]> = [
    [
      "without basicConstraints",
      { extensions: [] },
      { expected: "CN=Test Intermediate with basicConstraints cA TRUE", found: "no CA certificate" }
    ],
    [
      "with cA FALSE",
      { extensions: [new x509.BasicConstraintsExtension(false, undefined, true)] },
      { expected: "CN=Test Intermediate with basicConstraints cA TRUE", found: "no CA certificate" }
    ],
    [
      "with basicConstraints that cannot be read",
      { extensions: [extension("2.5.29.19", nothing, true)] },
      { expected: "CN=Test Intermediate with basicConstraints cA TRUE", found: "no CA certificate" }
    ],
    [
      "without keyCertSign",
      { extensions: [caConstraints(), keyUsages(x509.KeyUsageFlags.digitalSignature)] },
      { expected: "CN=Test Intermediate with keyUsage keyCertSign", found: "digitalSignature" }
    ],
    [
      "with a key usage that cannot be read",
      { extensions: [caConstraints(), extension("2.5.29.15", nothing, true)] },
      { expected: "CN=Test Intermediate with keyUsage keyCertSign", found: "unreadable" }
    ],
    [
      "with a critical extension that is not processed",
      { extensions: [caConstraints(), extension("2.5.29.30", nothing, true)] },
      {
        expected: "no critical extension in CN=Test Intermediate that is not processed",
        found: "nameConstraints"
      }
    ],
    [
      "that has expired",
      { notAfter: new Date("2026-02-01T00:00:00.000Z") },
      {
        expected: "CN=Test Intermediate valid at 2026-03-01T12:00:02.000Z",
        found: "2026-01-01T00:00:00.000Z to 2026-02-01T00:00:00.000Z"
      }
    ],
    [
      "that is not valid yet",
      { notBefore: new Date("2026-04-01T00:00:00.000Z") },
      {
        expected: "CN=Test Intermediate valid at 2026-03-01T12:00:02.000Z",
        found: "2026-04-01T00:00:00.000Z to 2036-01-01T00:00:00.000Z"
      }
    ]
  ]
  for (const [what, options, expected] of broken) {
    it(`does not pass an intermediate ${what}`, async () => {
      const odd = await makeIntermediate(root, options)
      assert.deepStrictEqual(fault(await leafOf(odd), certificates(odd)), expected)
    })

    it(`does not end at a root ${what}`, async () => {
      const odd = await makeRoot(options)
      assert.deepStrictEqual(fault(await leafOf(odd), [], certificates(odd)), {
        expected: expected.expected.replace("Test Intermediate", "Test Root"),
        found: expected.found
      })
    })
  }

  it("is not left out, nor led through another CA", async () => {
    const other = await makeIntermediate(root, { name: "Other Intermediate" })
    assert.deepStrictEqual(fault(leaf, []), {
      expected: "a chain up to a pinned root",
      found: `CN=${grantId} issued by CN=Test Intermediate, which is not pinned`
    })
    assert.deepStrictEqual(fault(leaf, certificates(other)), {
      expected: "issued by CN=Test Intermediate",
      found: "CN=Other Intermediate"
    })
    assert.deepStrictEqual(fault(leaf, certificates(root, intermediate)), {
      expected: "issued by CN=Test Intermediate",
      found: "CN=Test Root"
    })
  })

  it("is not forged by a CA of the same name", async () => {
    const forger = await makeIntermediate(await makeRoot())
    const expected = {
      expected: `CN=${grantId} signed by CN=Test Intermediate`,
      found: "the signature does not verify with the public key"
    }
    assert.deepStrictEqual(fault(await leafOf(forger), certificates(intermediate)), expected)
    assert.deepStrictEqual(fault(await leafOf(forger), certificates(forger)), {
      expected: "a chain up to a pinned root",
      found: "CN=Test Intermediate not signed by the pinned CN=Test Root"
    })
  })

  it("does not go through a leaf that plays the CA", async () => {
    const keys = await makeKeys()
    const certificate = parsed(await makeLeaf(intermediate, keys.publicKey))
    const below = await leafOf({ certificate, name: grantId, keyIdentifier: "00", keys })
    assert.deepStrictEqual(fault(below, [certificate, intermediate.certificate]), {
      expected: `CN=${grantId} with basicConstraints cA TRUE`,
      found: "no CA certificate"
    })
  })

  it("ends where nothing is pinned", () => {
    assert.deepStrictEqual(fault(leaf, certificates(intermediate, root), []), {
      expected: "a chain up to a pinned root",
      found: "CN=Test Root issued by CN=Test Root, which is not pinned"
    })
  })

  it("ends when its root has expired", () => {
    assert.deepStrictEqual(
      fault(leaf, certificates(intermediate), certificates(root), new Date("2036-01-01T00:00:01.000Z")),
      {
        expected: "CN=Test Intermediate valid at 2036-01-01T00:00:01.000Z",
        found: "2026-01-01T00:00:00.000Z to 2036-01-01T00:00:00.000Z"
      }
    )
  })
})
