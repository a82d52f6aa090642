// A stage, the SDK and the packages it uses, as one module.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";

import { entryOf } from "./entry.mjs";
import { AuthorFault } from "./fault.mjs";
import { linesOf } from "./lines.mjs";

/** Writes the bundle and gives its path and the table of its lines. */
export async function bundle(request) {
  await mkdir(request.generated, { recursive: true });
  const entry = join(request.generated, "entry.js");
  await writeFile(entry, entryOf(request));
  const file = `${request.stage}.bundle.js`;
  const path = join(request.generated, file);
  const esbuild = await import("esbuild");
  await run(esbuild, { ...optionsOf(request), entryPoints: [entry], outfile: path });
  const map = JSON.parse(await readFile(`${path}.map`, "utf8"));
  const nameOf = (source) => relative(request.project, resolve(request.generated, source));
  const lines = linesOf(map, file, nameOf);
  // Behind the code, so that no line of it moves, and as text, which takes a tenth of the memory until it is needed.
  const table = `globalThis["@forebay/lines"] = ${JSON.stringify(JSON.stringify(lines))};\n`;
  await writeFile(path, (await readFile(path, "utf8")) + table);
  return { path, lines };
}

function optionsOf({ project }) {
  return {
    absWorkingDir: project,
    bundle: true,
    charset: "utf8",
    // What the host gives is imported by the component, not bundled.
    external: ["forebay:*", "wasi:*"],
    format: "esm",
    logLevel: "silent",
    mainFields: ["module", "main"],
    platform: "neutral",
    sourcemap: "external",
    target: "es2022",
  };
}

/** Runs esbuild; what is wrong with the sources is said with their files and lines. */
export async function run(esbuild, options) {
  try {
    const { warnings } = await esbuild.build(options);
    for (const text of await esbuild.formatMessages(warnings, { kind: "warning" })) console.error(text);
  } catch (error) {
    if (!error.errors) throw error;
    const texts = await esbuild.formatMessages(error.errors, { kind: "error" });
    throw new AuthorFault(`it does not build:\n${withoutNode(texts.join("").trimEnd())}`);
  }
}

/** esbuild proposes to bundle for node, where no stage runs. */
function withoutNode(text) {
  return text.replace(
    /Are you trying to bundle for node\?.*/g,
    "A stage does not run in node: use a package that needs none of node's modules.",
  );
}
