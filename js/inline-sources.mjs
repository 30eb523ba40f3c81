// What beside plain modules may be imported in src/, one meaning for esbuild (build.mjs) and vitest (vitest.config.mjs):
//   import css from "./tokens.css"               -> the text of the stylesheet
//   import source from "../layout/worker.ts?inline" -> that module bundled and minified into one script, as a string:
//     new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))
// The types of both are in src/inline.d.ts. One string and not a file of its own, because a notebook widget and a report
// are single files: there is no URL from which a second one could be loaded.
import { readFile } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";

const INLINE = "?inline";
export const TARGET = "es2022";

/** The module at `file` with all it imports -> {text: one minified classic script, files: what it was made from}. */
export async function bundledSource(file) {
  const result = await build({
    entryPoints: [file], bundle: true, minify: true, format: "iife", target: TARGET, write: false, metafile: true, legalComments: "none",
  });
  return { text: result.outputFiles[0].text, files: Object.keys(result.metafile.inputs).map((name) => path.resolve(name)) };
}

/** For esbuild; stylesheets need no plugin there (loader ".css": "text"). */
export const inlineSources = {
  name: "inline-sources",
  setup(pluginBuild) {
    pluginBuild.onResolve({ filter: /\?inline$/ }, ({ path: name, resolveDir }) => ({
      path: path.resolve(resolveDir, name.slice(0, -INLINE.length)), namespace: "inline",
    }));
    pluginBuild.onLoad({ filter: /.*/, namespace: "inline" }, async ({ path: file }) => {
      const { text, files } = await bundledSource(file);
      return { contents: text, loader: "text", watchFiles: files };
    });
  },
};

/** The same two imports for vite; ids start with \0 so that vite's own handling of stylesheets stays away. */
export const inlineSourcesForVite = {
  name: "inline-sources",
  enforce: "pre",
  resolveId(name, importer) {
    if (!importer || !/\.css$|\?inline$/.test(name) || !name.startsWith(".")) return null;
    return `\0text:${path.resolve(path.dirname(importer), name)}:`; // the closing colon hides the ending .css
  },
  async load(id) {
    if (!id.startsWith("\0text:")) return null;
    const name = id.slice("\0text:".length, -1);
    const text = name.endsWith(INLINE) ? (await bundledSource(name.slice(0, -INLINE.length))).text : await readFile(name, "utf8");
    return `export default ${JSON.stringify(text)};`;
  },
};
