/** Reads what a command line names as input, from a file or, for `-`, from standard input; bounded, and never a device. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs"
import { InputUnreadable } from "@mosaic-federation/domain/CommandErrors"
import { Effect } from "effect"

/** Far above any CSR, chain or root bundle. */
const mostBytes = 256 * 1024

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  EISDIR: "is a directory",
  ENOTDIR: "a part of the path is not a directory"
}

const reasonOf = (error: unknown): string => {
  const { code, message } = error as NodeJS.ErrnoException
  return (code === undefined ? undefined : reasons[code]) ?? code ?? message
}

class TooLarge extends Error {
  override readonly message = `larger than ${mostBytes} bytes`
}

const readFile = (path: string): Uint8Array => {
  const descriptor = openSync(path, "r")
  try {
    const buffer = Buffer.alloc(mostBytes + 1)
    let size = 0
    // A pipe (<(command)) gives what it has, not what is asked for.
    for (let read = -1; read !== 0 && size < buffer.length; size += read) {
      read = readSync(descriptor, buffer, size, buffer.length - size, null)
    }
    if (size > mostBytes || (fstatSync(descriptor).isFile() && fstatSync(descriptor).size > mostBytes))
      throw new TooLarge()
    return new Uint8Array(buffer.subarray(0, size))
  } finally {
    closeSync(descriptor)
  }
}

const readStandardInput = async (): Promise<Uint8Array> => {
  const chunks: Array<Buffer> = []
  let size = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > mostBytes) throw new TooLarge()
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

/** The name that errors give to the input. */
export const inputName = (path: string) => (path === "-" ? "standard input" : path)

export const readInput = (path: string): Effect.Effect<Uint8Array, InputUnreadable> =>
  Effect.tryPromise({
    try: () => (path === "-" ? readStandardInput() : Promise.resolve().then(() => readFile(path))),
    catch: (error) => new InputUnreadable({ path: inputName(path), reason: reasonOf(error) })
  })
