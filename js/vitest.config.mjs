import { defineConfig } from "vitest/config";
import { inlineSourcesForVite } from "./inline-sources.mjs";

export default defineConfig({
  plugins: [inlineSourcesForVite],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  test: {
    // Pure code runs in node; a file that needs a document starts with `// @vitest-environment happy-dom`.
    environment: "node",
    include: ["src/**/*.test.{ts,tsx}", "test/**/*.test.{ts,tsx}"],
    testTimeout: 20_000,
    passWithNoTests: false,
  },
});
