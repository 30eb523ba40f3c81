// node gallery/build.mjs OUT: OUT/gallery.html with the view and made-up records in one file.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { TARGET, inlineSources } from "../inline-sources.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];
if (!out) throw new Error("gallery/build.mjs: no folder was given. Use: node gallery/build.mjs OUT");
const { outputFiles } = await build({
  entryPoints: [path.join(HERE, "main.ts")], bundle: true, write: false, format: "iife", target: TARGET, jsx: "automatic", jsxImportSource: "preact",
  plugins: [inlineSources()], define: { "process.env.NODE_ENV": '"production"' },
});
mkdirSync(out, { recursive: true });
writeFileSync(path.join(out, "gallery.html"), `<!doctype html><html lang="en"><meta charset="utf-8"><title>GraphScope gallery</title><body><script>${outputFiles[0].text.replaceAll("</script", "<\\/script")}</script>`);
