// Runs a project's tests by node's own runner: `node .forebay/sdk/js/tool/test.mjs` in its folder. Run by
// `forebay test`.
//
// Tests in TypeScript are bundled first: node 20 strips no types.

import { spawnSync } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { join, relative } from "node:path";

import { run } from "./bundle.mjs";
import { AuthorFault } from "./fault.mjs";

const AT_FAULT = 3;
const IS_TEST = /\.test\.(js|mjs|ts|mts)$/;
const IS_TYPED = /\.m?ts$/;
/** Folders that hold what tools made; those whose name begins with a dot are passed over too. */
const MADE = ["build", "dist", "node_modules"];

try {
  process.exitCode = await test(process.cwd());
} catch (error) {
  if (!(error instanceof AuthorFault)) throw error;
  console.error(error.message);
  process.exitCode = AT_FAULT;
}

/** The exit status of the runner. */
async function test(project) {
  const tests = (await testsBelow(project)).sort();
  if (tests.length === 0) {
    throw new AuthorFault(`there is no test; expected files such as greeter.test.js below ${project}`);
  }
  const runnable = await bundled(project, tests);
  const args = ["--enable-source-maps", "--test", ...runnable];
  const { status } = spawnSync(process.execPath, args, { cwd: project, stdio: "inherit" });
  return status ?? 1;
}

async function testsBelow(folder) {
  const entries = await readdir(folder, { withFileTypes: true });
  const found = entries.map(async (entry) => {
    const path = join(folder, entry.name);
    if (entry.name.startsWith(".") || MADE.includes(entry.name)) return [];
    if (entry.isDirectory()) return testsBelow(path);
    return IS_TEST.test(entry.name) ? [path] : [];
  });
  return (await Promise.all(found)).flat();
}

/** The tests as node can run them, those in TypeScript below `.forebay/gen/`. */
async function bundled(project, tests) {
  const typed = tests.filter((path) => IS_TYPED.test(path));
  if (typed.length === 0) return tests;
  const outdir = join(project, ".forebay/gen/tests");
  await rm(outdir, { recursive: true, force: true });
  await run(await import("esbuild"), {
    absWorkingDir: project,
    bundle: true,
    entryPoints: typed,
    format: "esm",
    logLevel: "silent",
    outbase: project,
    outdir,
    outExtension: { ".js": ".mjs" },
    // Packages stay where node finds them, the SDK among them.
    packages: "external",
    platform: "node",
    sourcemap: "inline",
    target: "node20",
  });
  const made = (path) => join(outdir, relative(project, path).replace(IS_TYPED, ".mjs"));
  return tests.map((path) => (typed.includes(path) ? made(path) : path));
}
