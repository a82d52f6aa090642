// From a bundle to a component: the bundle is evaluated once and the engine kept as it is then.

import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

import { sourceOf } from "../src/stack.js";
import { AuthorFault } from "./fault.mjs";

/** As in `src/glue.js`. */
const MARK = "forebay:";

const RANDOM = `package wasi:random@0.2.0;

interface random {
  get-random-bytes: func(len: u64) -> list<u8>;
}
`;

const ENGINES = { quickjs, starlingmonkey };

/** The bytes of the component. */
export async function componentize(request, path, lines) {
  try {
    return await ENGINES[request.engine](request, path);
  } catch (error) {
    throw faultOf(String(error?.message ?? error), basename(path), lines) ?? error;
  }
}

async function quickjs({ wit, generated }, path) {
  const { componentize } = await import("componentize-qjs");
  const { component } = await componentize({
    witPath: await withRandom(wit, join(generated, "wit")),
    world: "stage",
    jsSource: await readFile(path, "utf8"),
    jsPath: path,
    // Without it the component needs a host with asynchronous calls.
    sync: true,
  });
  return component;
}

async function starlingmonkey({ wit }, path) {
  const { componentize } = await import("@bytecodealliance/componentize-js");
  const { component } = await componentize({
    sourcePath: path,
    witPath: wit,
    worldName: "stage",
    // No stage is given HTTP.
    disableFeatures: ["http", "fetch-event"],
  });
  return component;
}

/** The stage's world with the host's random numbers besides; see `takeRandomFrom` in src/polyfill.js. */
async function withRandom(wit, folder) {
  await cp(wit, folder, { recursive: true });
  const world = await readFile(join(wit, "world.wit"), "utf8");
  const end = world.lastIndexOf("}");
  await writeFile(join(folder, "world.wit"), `${world.slice(0, end)}  import wasi:random/random@0.2.0;\n}\n`);
  await mkdir(join(folder, "deps/wasi-random"), { recursive: true });
  await writeFile(join(folder, "deps/wasi-random/random.wit"), RANDOM);
  return folder;
}

/** What an engine says when the bundle does not evaluate, in the author's files; `undefined` for another trouble. */
function faultOf(said, file, lines) {
  const problems = said.split("\n").filter((line) => line.includes(MARK));
  if (problems.length > 0) {
    const texts = problems.map((line) => line.slice(line.indexOf(MARK) + MARK.length).trim());
    return new AuthorFault([...new Set(texts)].join("\n"));
  }
  if (!/evaluat/.test(said)) return undefined;
  const reason = mapped(said, file, lines).replace(/^.*module evaluation: /, "");
  return new AuthorFault(`it throws when it is loaded:\n${reason.trimEnd()}`);
}

function mapped(said, file, lines) {
  const place = new RegExp(`[\\w./-]*${file.replaceAll(".", "\\.")}:(\\d+):(\\d+)`, "g");
  return said.replace(place, (whole, row, column) => {
    const found = sourceOf(lines, Number(row), Number(column));
    return found ? `${found.source}:${found.line}` : whole;
  });
}
