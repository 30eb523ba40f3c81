// What beside plain modules may be imported in src/, one meaning for esbuild (build.mjs) and vitest (vitest.config.mjs):
//   import css from "./tokens.css"                   -> the text of the stylesheet, minified
//   import source from "../layout/worker.ts?inline"  -> that module with all it imports as one minified classic script:
//     new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))
// The types of both are in src/inline.d.ts. One string and not a file of its own, because a notebook widget and a report
// are single files: there is no URL from which a second one could be loaded.
import { readFile } from "node:fs/promises";
import path from "node:path";
import { build, transform } from "esbuild";

export const TARGET = "es2022";
const INLINE = "?inline";

/** A stylesheet or `<module>?inline` -> its text, and the files it was made from. */
async function textOf(name) {
  if (!name.endsWith(INLINE)) {
    const { code } = await transform(await readFile(name, "utf8"), { loader: "css", minify: true });
    return { text: code, files: [name] };
  }
  const { outputFiles, metafile } = await build({
    entryPoints: [name.slice(0, -INLINE.length)], bundle: true, minify: true, format: "iife", target: TARGET,
    write: false, metafile: true, legalComments: "none",
  });
  return { text: outputFiles[0].text, files: Object.keys(metafile.inputs).map((file) => path.resolve(file)) };
}

/** For esbuild. `bundled` collects every file that went in: esbuild's own list does not see inside a string. */
export function inlineSources(bundled = new Set()) {
  return {
    name: "inline-sources",
    setup(outer) {
      outer.onResolve({ filter: /\?inline$/ }, ({ path: name, resolveDir }) => ({ path: path.resolve(resolveDir, name), namespace: "inline" }));
      const load = async ({ path: name }) => {
        const { text, files } = await textOf(name);
        for (const file of files) bundled.add(file);
        return { contents: text, loader: "text", watchFiles: files };
      };
      outer.onLoad({ filter: /.*/, namespace: "inline" }, load);
      outer.onLoad({ filter: /\.css$/ }, load);
    },
  };
}

/** The same for vite; ids start with \0 and end with a colon so that vite's own handling of stylesheets stays away. */
export const inlineSourcesForVite = {
  name: "inline-sources",
  enforce: "pre",
  async resolveId(name, importer) {
    if (!importer || !/\.css$|\?inline$/.test(name)) return null;
    const inline = name.endsWith(INLINE) ? INLINE : "";
    const found = await this.resolve(name.slice(0, name.length - inline.length), importer, { skipSelf: true });
    return found && `\0text:${found.id}${inline}:`;
  },
  async load(id) {
    if (!id.startsWith("\0text:")) return null;
    const { text } = await textOf(id.slice("\0text:".length, -1));
    return `export default ${JSON.stringify(text)};`;
  },
};
