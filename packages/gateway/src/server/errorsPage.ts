/** Every error of this version as a page of the gateway: where the `type` of a problem leads. */
import { catalogue } from "@mosaic-federation/domain/MosaicError"
import { HttpServerResponse } from "effect/http"

const escape = (text: string) =>
  text.replaceAll(/[&<>"]/g, (character) => `&#${character.codePointAt(0) ?? 0};`)

const entries = catalogue.map(
  ({ code, explanation, httpStatus, retryable, title }) =>
    `<section id="${code.toLowerCase()}"><h2>${code}</h2><p><strong>${escape(title)}.</strong> ${escape(explanation)}</p>` +
    `<p>HTTP ${httpStatus} · ${retryable ? "trying again can help" : "trying again alone does not help"}</p></section>`
)

export const errorsPage = HttpServerResponse.html(
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Errors</title>` +
    `<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}` +
    `:target{outline:2px solid}h2{font-size:1rem;font-family:ui-monospace,monospace}</style></head>` +
    `<body><h1>Errors</h1>${entries.join("")}</body></html>`
)
