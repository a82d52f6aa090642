// Lines for the node's log.

import { printableError } from "./stack.js";

const LEVELS = ["trace", "debug", "info", "warn", "error"];

/** Takes (level, message). The glue puts the host's there, a harness its own. */
let sink = (level, message) => globalThis.console?.error(`${level}: ${message}`);

/** Puts another sink in place and returns the one that was there. */
export function replaceSink(next) {
  const before = sink;
  sink = next;
  return before;
}

/** One function for each level: `log.info("took", 3, { of: "these" })`. */
export const log = Object.freeze(
  Object.fromEntries(LEVELS.map((level) => [level, (...values) => sink(level, join(values))])),
);

/** A console whose lines go to the node's log, for engines that have none or print to nowhere. */
export const console = Object.freeze({
  ...log,
  log: log.info,
  assert: (condition, ...values) => condition || log.error("assertion failed:", ...values),
});

function join(values) {
  return values.map(printable).join(" ");
}

function printable(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return printableError(value);
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner));
  } catch {
    // A circle, or a `toJSON` that throws.
    return Object.prototype.toString.call(value);
  }
}
