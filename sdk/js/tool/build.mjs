// Builds one stage of the project in the working directory into `.forebay/gen/NAME/NAME.wasm`. Run by `forebay build`:
//
//   node .forebay/sdk/js/tool/build.mjs --stage greeter --source greeter.js --role producer --engine quickjs
//
// Exit status 3: the author's code is at fault, and stderr says how.

import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { bundle } from "./bundle.mjs";
import { componentize } from "./engines.mjs";
import { AuthorFault } from "./fault.mjs";

const AT_FAULT = 3;

try {
  await build(requestOf(process.cwd()));
} catch (error) {
  if (!(error instanceof AuthorFault)) throw error;
  console.error(error.message);
  process.exitCode = AT_FAULT;
}

async function build(request) {
  const { path, lines } = await bundle(request);
  const component = await componentize(request, path, lines);
  await writeFile(join(request.generated, `${request.stage}.wasm`), component);
}

/** What is to be built: names as forebay.toml has them, and absolute paths. */
function requestOf(project) {
  const { values } = parseArgs({
    options: {
      stage: { type: "string" },
      source: { type: "string" },
      role: { type: "string" },
      engine: { type: "string" },
      optional: { type: "string", multiple: true, default: [] },
    },
  });
  const hidden = join(project, ".forebay");
  return {
    ...values,
    project,
    source: resolve(project, values.source),
    wit: join(hidden, "wit", values.stage),
    generated: join(hidden, "gen", values.stage),
  };
}
