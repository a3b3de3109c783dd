import { defineConfig } from "vitest/config";

// Modules that need no browser; what a page shows is tested in one, by tests/browser.
export default defineConfig({
  test: { include: ["src/**/*.test.ts"], environment: "node", isolate: false },
});
