// Builds the viewer:
//   src/entry/widget.ts -> ../graphscope/static/widget.js  one ES module, for anywidget
//   src/entry/report.ts -> ../graphscope/static/report.js  one classic script, for HTML reports
//   src/entry/lab.ts    -> lib/entry/lab.js -> ../graphscope/labextension  (JupyterLab's own builder packs the second half)
//   licences of what was bundled -> ../graphscope/static/third-party-licenses.txt
// The sidebar goes through esbuild first so that stylesheets and workers are imported in one way everywhere
// (inline-sources.mjs says how); JupyterLab's builder then only has to share JupyterLab's own packages.
//
//   node build.mjs                 what is shipped: minified
//   node build.mjs --development   readable, with inline source maps
//   node build.mjs --size          writes nothing; fails when a bundle is larger than the budget
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { TARGET, inlineSources } from "./inline-sources.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const STATIC = path.join(HERE, "../graphscope/static");
const LICENCES = path.join(STATIC, "third-party-licenses.txt");
const LAB_STATIC = path.join(HERE, "../graphscope/labextension/static");
const BUDGET = 120_000; // bytes after gzip, per file: a report carries all of it, a widget loads all of it

const SINGLE_FILES = [
  { name: "widget.js", entryPoints: ["src/entry/widget.ts"], format: "esm" },
  { name: "report.js", entryPoints: ["src/entry/report.ts"], format: "iife" },
];
const LAB = {
  name: "lab.js", entryPoints: ["src/entry/lab.ts"], format: "esm",
  // JupyterLab provides these; everything else goes into the bundle.
  external: ["@jupyterlab/*", "@lumino/*", "react", "react-dom"],
};

/** One entry of the lists above -> esbuild's result, in memory. */
function bundle({ name, ...options }, development, bundled) {
  return build({
    ...options, absWorkingDir: HERE, outfile: name, write: false, metafile: true, bundle: true, target: TARGET,
    minify: !development, sourcemap: development ? "inline" : false, legalComments: "eof", logLevel: "warning",
    define: { "process.env.NODE_ENV": development ? '"development"' : '"production"' },
    jsx: "automatic", jsxImportSource: "preact", plugins: [inlineSources(bundled)],
  });
}

/** Paths of bundled files -> the licence texts of the packages among them, as those licences ask. */
function licences(files) {
  const packages = new Set(files.flatMap((file) => file.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1] ?? []));
  return [...packages].sort().map((name) => {
    const folder = path.join(HERE, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`build.mjs: ${name} has no licence file; it cannot be bundled without one.`);
    return `${name} ${version} (${license})\n\n${readFileSync(path.join(folder, file), "utf8").trim()}\n`;
  }).join(`\n${"-".repeat(80)}\n\n`);
}

async function writeAll(development) {
  const inlined = new Set();
  const results = await Promise.all([...SINGLE_FILES, LAB].map((entry) => bundle(entry, development, inlined)));
  mkdirSync(STATIC, { recursive: true });
  mkdirSync(path.join(HERE, "lib/entry"), { recursive: true });
  const [widget, report, lab] = results.map((result) => result.outputFiles[0].contents);
  writeFileSync(path.join(STATIC, "widget.js"), widget);
  writeFileSync(path.join(STATIC, "report.js"), report);
  writeFileSync(LICENCES, licences([...results.flatMap((result) => Object.keys(result.metafile.inputs)), ...inlined]));
  writeFileSync(path.join(HERE, "lib/entry/lab.js"), lab);
  const packed = spawnSync(process.execPath, [
    "node_modules/@jupyter/builder/lib/build-labextension.js",
    "--core-package-file", "node_modules/@jupyterlab/core-meta/core.package.json",
    ...(development ? ["--development"] : []), ".",
  ], { cwd: HERE, encoding: "utf8" });
  if (packed.status !== 0 || /warning/i.test(packed.stdout)) console.error(packed.stdout + packed.stderr);
  if (packed.status !== 0) throw new Error("build.mjs: JupyterLab's builder could not pack lib/entry/lab.js; see above.");
  copyFileSync(LICENCES, path.join(LAB_STATIC, path.basename(LICENCES)));
}

async function checkSizes() {
  let tooLarge = false;
  for (const entry of SINGLE_FILES) {
    const [{ contents }] = (await bundle(entry, false)).outputFiles;
    const size = gzipSync(contents, { level: 9 }).length;
    tooLarge ||= size > BUDGET;
    console.log(`${entry.name}: ${(size / 1000).toFixed(1)} of ${BUDGET / 1000} KB gzip${size > BUDGET ? "  TOO LARGE" : ""}`);
  }
  if (tooLarge) process.exitCode = 1;
}

if (process.argv.includes("--size")) await checkSizes();
else await writeAll(process.argv.includes("--development"));
