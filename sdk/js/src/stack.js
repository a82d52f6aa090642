// Where an error was thrown, in the author's own files.
//
// What runs in an engine is one bundled file. `forebay build` puts a table of its lines behind it (see `tool/lines.mjs`),
// by which the places in a stack lead back to the sources.

/**
 * The table, which is kept as JSON: `{ file, sources, lines }`, where `lines[generated line]` is `[column, source, line, ...]` by rising
 * column, all counted from 1 but `source`, which is an index.
 */
function table() {
  const text = globalThis["@forebay/lines"];
  return text === undefined ? undefined : JSON.parse(text);
}

/** An error with its stack, in one line: a node escapes line breaks. */
export function printableError(error) {
  const frames = framesOf(error).map((frame) => `, at ${frame}`);
  const cause = error.cause instanceof Error ? `, caused by ${printableError(error.cause)}` : "";
  return `${error.name}: ${error.message}${frames.join("")}${cause}`;
}

/** The author's frames of an error, innermost first, as `boom (greeter.js:4:11)`. */
export function framesOf(error, lines = table()) {
  const stack = typeof error.stack === "string" ? error.stack : "";
  return stack.split("\n").flatMap((line) => frameOf(line, lines) ?? []);
}

/** One line of a stack: `    at boom (/x.js:4:31)` in QuickJS and V8, `boom@x.js:4:27` in StarlingMonkey. */
function frameOf(line, lines) {
  const parts = /^\s*at (?:(.*?) \()?(.*?):(\d+):(\d+)\)?$/.exec(line) ?? /^(.*?)@(.*?):(\d+):(\d+)$/.exec(line);
  if (!parts) return undefined;
  const [, name, file, row, column] = parts;
  const place = placeOf(lines, file, Number(row), Number(column));
  if (place === undefined) return undefined;
  return name && name !== "<anonymous>" ? `${name} (${place})` : place;
}

/** `undefined` for what is not the author's: the SDK, the engine, node. */
function placeOf(lines, file, row, column) {
  if (!lines) return isOurs(file) ? undefined : `${file}:${row}:${column}`;
  if (!`/${file}`.endsWith(`/${lines.file}`)) return undefined;
  const found = sourceOf(lines, row, column);
  return found && !isOurs(found.source) ? `${found.source}:${found.line}` : undefined;
}

/** The source and line from which a place in the bundle was made. */
export function sourceOf(lines, row, column) {
  const segments = lines.lines[row - 1] ?? [];
  let found;
  for (let at = 0; at < segments.length && segments[at] <= column; at += 3) {
    found = {
      source: lines.sources[segments[at + 1]],
      line: segments[at + 2],
    };
  }
  return found;
}

function isOurs(file) {
  return /^node:|\.forebay\/|[/\\]sdk[/\\]js[/\\]src[/\\]/.test(file);
}
