import { defineConfig } from "vite";

const OUTPUT: Record<string, string> = { storefront: "dist/storefront", explorer: "../explorer/waybill_explorer/static" };

// `vite build --mode storefront` makes an index.html, and everything else under a hashed name in assets/. The explorer goes
// into the Python package that serves it.
export default defineConfig(({ mode: page }) => {
  const output = OUTPUT[page];
  if (!output) throw new Error(`name the page: --mode ${Object.keys(OUTPUT).join(" or --mode ")}`);
  return {
    root: `src/${page}`,
    publicDir: false,
    envDir: false,
    logLevel: "warn",
    build: {
      // Old enough for a browser of 2024, new enough for light-dark() to stay as it is written.
      target: ["chrome123", "firefox120", "safari17.5"],
      outDir: `../../${output}`,
      emptyOutDir: true,
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
  };
});
