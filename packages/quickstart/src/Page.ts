/** What the quickstart prints: plain lines on stdout, with headings and times set apart where a terminal shows colour. */
import { Context } from "effect"

export interface Page {
  readonly heading: (text: string) => void
  readonly line: (text?: string) => void
  /** Something that was done, and how long it took. */
  readonly done: (text: string, millis: number) => void
}

/** https://no-color.org */
const hasColour = () => process.stdout.isTTY && (process.env["NO_COLOR"] ?? "") === ""

export const formatMillis = (millis: number): string =>
  millis >= 1000 ? `${(millis / 1000).toFixed(1)} s` : `${millis.toFixed(millis < 10 ? 1 : 0)} ms`

export const stdoutPage = (): Page => {
  const style = (code: number, text: string) => (hasColour() ? `\u001b[${code}m${text}\u001b[0m` : text)
  const line = (text = "") => {
    process.stdout.write(`${text}\n`)
  }
  return {
    heading: (text) => line(`\n${style(1, text)}`),
    line,
    done: (text, millis) => line(`  ${text}  ${style(2, formatMillis(millis))}`)
  }
}

export const CurrentPage = Context.Reference<Page>("@mosaic-federation/quickstart/Page", {
  defaultValue: stdoutPage
})
