// The table of a bundle's lines, made of esbuild's source map: small enough to travel in the component.

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/**
 * `{ file, sources, lines }` as `src/stack.js` reads it. A place is noted only where the source line is another than
 * that of the place before it.
 *
 * `nameOf(source)` gives the name an author knows a source by.
 */
export function linesOf(map, file, nameOf) {
  const state = { source: 0, line: 0, column: 0 };
  const lines = map.mappings.split(";").map((text) => segmentsOf(text, state));
  return { file, sources: map.sources.map(nameOf), lines };
}

/** One line of mappings: fields separated by commas, each a difference to the field before it (the source map format,
 * ECMA-426). `state` goes on from line to line, but for the generated column. */
function segmentsOf(text, state) {
  const segments = [];
  let generated = 0;
  for (const field of text.split(",").filter(Boolean)) {
    const [column, source = 0, line = 0, sourceColumn = 0] = numbersOf(field);
    generated += column;
    state.source += source;
    state.line += line;
    state.column += sourceColumn;
    const isAsBefore = segments.at(-2) === state.source && segments.at(-1) === state.line + 1;
    if (!isAsBefore) segments.push(generated + 1, state.source, state.line + 1);
  }
  return segments;
}

/** Numbers in base 64 with a bit that says whether another digit follows, the sign in the lowest bit. */
function numbersOf(field) {
  const numbers = [];
  let number = 0;
  let shift = 0;
  for (const letter of field) {
    const digit = DIGITS.indexOf(letter);
    number += (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    numbers.push(number & 1 ? -(number >> 1) : number >> 1);
    number = 0;
    shift = 0;
  }
  return numbers;
}
