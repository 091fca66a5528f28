import { defineConfig } from "vitest/config"

const project = (name: string, options: { readonly timeout: number }) => ({
  test: {
    name,
    include: [`packages/${name}/test/**/*.test.ts`],
    testTimeout: options.timeout,
    hookTimeout: 300_000
  }
})

/** Vitest no longer reads workspace files by itself: pass this one with `--config vitest.workspace.ts`. */
export default defineConfig({
  test: {
    projects: [
      project("x509", { timeout: 180_000 }),
      project("domain", { timeout: 10_000 }),
      project("issuance", { timeout: 180_000 }),
      project("gateway", { timeout: 180_000 }),
      project("testing", { timeout: 180_000 }),
      project("cli", { timeout: 180_000 }),
      project("quickstart", { timeout: 180_000 })
    ]
  }
})
