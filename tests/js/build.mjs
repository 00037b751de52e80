/** Bundles the client into one small file; `node build.mjs [target]`. */
import { build } from "esbuild";
import { fileURLToPath } from "node:url";

const from = (path) => fileURLToPath(new URL(`../../realtime/static/realtime/${path}`, import.meta.url));

export const bundle = (outfile = from("client.min.js")) =>
  build({ entryPoints: [from("client.js")], outfile, bundle: true, minify: true, format: "esm", target: "es2022", charset: "utf8" });

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle(process.argv[2]);
