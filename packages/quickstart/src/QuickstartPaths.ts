/** Where the quickstart keeps what it makes: all of it in one ignored directory of the checkout. */
import { join, relative } from "node:path"

export interface QuickstartPaths {
  readonly directory: string
  /** The CA's state. */
  readonly stepPath: string
  /** `MOSAIC_HOME`: the embedded PostgreSQL. */
  readonly home: string
  /** Sets the variables that `mosaic` needs, for a shell to source. */
  readonly env: string
  readonly key: string
  readonly csr: string
  readonly certificate: string
}

export const quickstartPaths = (directory: string): QuickstartPaths => ({
  directory,
  stepPath: join(directory, "ca"),
  home: join(directory, "home"),
  env: join(directory, "env"),
  key: join(directory, "peer.key"),
  csr: join(directory, "peer.csr"),
  certificate: join(directory, "peer.crt")
})

/** As a person in the current directory would write it. */
export const shown = (path: string): string => {
  const short = relative(process.cwd(), path)
  return short.startsWith("..") ? path : short
}
