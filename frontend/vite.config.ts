import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/** Where a gateway listens while `npm run dev` serves the page. */
const gatewayUrl = "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: "es2022",
    // The content security policy allows no inline sources: every asset is a file of its own.
    assetsInlineLimit: 0,
  },
  server: {
    proxy: {
      "/api": gatewayUrl,
      "/monitoring": gatewayUrl,
    },
  },
});
