// Asking sources for events, for a stage that decides itself when it wants more.

const COUNT_MAX = 2 ** 32 - 1;

/** Takes (source, count). The glue puts the host's there, a harness its own; elsewhere it is let go of. */
let sink = () => {};

/** Puts another sink in place and returns the one that was there. */
export function replaceAsk(next) {
  const before = sink;
  sink = next;
  return before;
}

/** Asks a source, by its name in the pipeline, for `count` further events; see index.d.ts. */
export function ask(source, count) {
  if (typeof source !== "string") throw new TypeError(`\`source\` is ${typeof source}; expected a stage's name`);
  const isCount = Number.isInteger(count) && count >= 0 && count <= COUNT_MAX;
  if (!isCount) throw new RangeError(`\`count\` is ${count}; expected a whole number from 0 to ${COUNT_MAX}`);
  sink(source, count);
}
