/** The URL of the queue is understood or refused, and no URL that is shown holds a password. */
import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"
import { parseQueueUrl } from "../src/QueueUrl.ts"
import { shownUrl } from "../src/ShownUrl.ts"

const queue = (text: string) => parseQueueUrl(Redacted.make(text))

describe("QueueUrl", () => {
  it("takes what IANA registers as redis and rediss", () => {
    const whole = Result.getOrThrow(
      queue("rediss://ann:s%40cret@valkey.example:6380/2?sslrootcert=/etc/root.crt")
    )
    assert.deepStrictEqual(
      { ...whole, password: whole.password && Redacted.value(whole.password) },
      {
        host: "valkey.example",
        port: 6380,
        tls: true,
        rootCertificate: "/etc/root.crt",
        username: "ann",
        password: "s@cret",
        database: 2
      }
    )
    assert.deepStrictEqual(Result.getOrThrow(queue("redis://[::1]")), {
      host: "::1",
      port: 6379,
      tls: false,
      rootCertificate: null,
      username: null,
      password: null,
      database: 0
    })
    assert.isNull(Result.getOrThrow(queue("rediss://h?sslrootcert=system")).rootCertificate)
  })

  for (const [text, problem] of [
    ["hunter2", "it is not a URL"],
    ["valkey:6380", "the scheme is valkey, not redis or rediss"],
    ["redis://", "it names no host"],
    ["redis:///1", "it names no host"],
    [
      "redis://:hunter2%zz@h",
      "a percent sign is not followed by two hexadecimal digits; write a literal one as %25"
    ],
    ["redis://u:1/hunter2@h", "its path is not the number of a database; write a / in a password as %2F"],
    ["redis://h/one", "its path is not the number of a database; write a / in a password as %2F"],
    ["redis://u:1#hunter2@h", "it has a fragment; write a # in a password as %23"],
    ["redis://u:1?hunter2@h", "it has a parameter that is not known; the only one is sslrootcert"],
    ["redis://h?sslrootcert=/x", "sslrootcert needs TLS, and the scheme is redis"]
  ] as const) {
    it(`refuses ${text}`, () => {
      assert.deepStrictEqual(queue(text), Result.fail(problem))
    })
  }
})

describe("ShownUrl", () => {
  for (const [text, shown] of [
    [
      "postgresql://m:hunter2@db:5432/m?sslmode=verify-full",
      "postgresql://m:****@db:5432/m?sslmode=verify-full"
    ],
    ["postgresql://m@db/m", "postgresql://m@db/m"],
    ["postgresql://m:hunter2@/m?host=/run/pg", "postgresql://m:****@/m?host=/run/pg"],
    ["postgresql://db/m?user=m&password=hunter2", "postgresql://db/m?user=m&password=****"],
    ["postgresql://m:1?hunter2@db/m", "postgresql://m:1?****"],
    ["rediss://:hunter2@v:6380", "rediss://:****@v:6380"],
    ["hunter2", "****"]
  ] as const) {
    it(`shows ${shown}`, () => {
      assert.strictEqual(shownUrl(Redacted.make(text)), shown)
    })
  }
})
