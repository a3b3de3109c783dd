import { defineConfig } from "vite";

const PAGES = ["storefront", "explorer"];

// `vite build --mode storefront` makes dist/storefront: an index.html, and everything else under a hashed name in assets/.
export default defineConfig(({ mode: page }) => {
  if (!PAGES.includes(page)) throw new Error(`name the page: --mode ${PAGES.join(" or --mode ")}`);
  return {
    root: `src/${page}`,
    publicDir: false,
    envDir: false,
    logLevel: "warn",
    build: {
      // Old enough for a browser of 2024, new enough for light-dark() to stay as it is written.
      target: ["chrome123", "firefox120", "safari17.5"],
      outDir: `../../dist/${page}`,
      emptyOutDir: true,
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
  };
});
