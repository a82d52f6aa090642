// The module an engine starts with: it hands the author's class to the glue and exports what forebay.toml says.

import { join, relative } from "node:path";

/** Optional interfaces that are imported. */
const IMPORTED = ["demand"];
const MAIN = { producer: "produce", consumer: "consume", "producer-consumer": "transform" };

/** The text of the entry of a stage. */
export function entryOf(request) {
  const { generated, source, role, optional, engine } = request;
  const author = relative(generated, source).replaceAll("\\", "/");
  const manifest = { stage: request.stage, role, optional };
  const isRandomFrozen = engine === "quickjs";
  const interfaces = ["lifecycle", MAIN[role], ...optional.filter((name) => !IMPORTED.includes(name))];
  const asks = optional.includes("demand");
  return [
    "// Written by `forebay build` from forebay.toml.",
    `import { log } from "forebay:stage/host@0.1.1";`,
    ...(asks ? [`import { ask } from "forebay:stage/demand@0.1.1";`] : []),
    ...(isRandomFrozen ? [`import { getRandomBytes } from "wasi:random/random@0.2.0";`] : []),
    `import { expose } from "@forebay/sdk/glue";`,
    `import * as author from ${JSON.stringify(author)};`,
    "",
    `const host = { log${asks ? ", ask" : ""}${isRandomFrozen ? ", randomBytes: getRandomBytes" : ""} };`,
    `const stage = expose(author, ${JSON.stringify(manifest)}, host);`,
    ...interfaces.map((name) => `export const ${name} = stage.${name};`),
    "",
  ].join("\n");
}
