// What a stage's config looks like, and reading one: a wrong type or an unknown key is an error that names the key.

import { StageError } from "./errors.js";
import { found } from "./text.js";

/**
 * What may stand at one key. `expected` is for errors; `read(value, path)` gives the value or throws; `absent` gives
 * what stands for a missing key, and is missing itself where the key must be there.
 */
class Field {
  constructor(expected, read, absent) {
    this.expected = expected;
    this.read = read;
    this.absent = absent;
  }
}

/** A whole number, up to 2^53 in size; `limits` may hold `min` and `max`. */
export function int(fallback, limits = {}) {
  const expected = `a whole number${rangeOf(limits)}`;
  const fits = (value) => Number.isSafeInteger(value) && isWithin(value, limits);
  return checked(expected, fits, fallback);
}

/** A number, whole or not; `limits` may hold `min` and `max`. */
export function number(fallback, limits = {}) {
  const expected = `a number${rangeOf(limits)}`;
  const fits = (value) => typeof value === "number" && isWithin(value, limits);
  return checked(expected, fits, fallback);
}

/** A text. */
export function text(fallback) {
  return checked("text", (value) => typeof value === "string", fallback);
}

/** True or false. */
export function bool(fallback) {
  return checked("true or false", (value) => typeof value === "boolean", fallback);
}

/** One of these texts. */
export function oneOf(choices, fallback) {
  const expected = `one of ${quoted(choices)}`;
  return checked(expected, (value) => choices.includes(value), fallback);
}

/** A list whose items are all of one kind. */
export function list(item, fallback) {
  const read = (value, path) => {
    if (!Array.isArray(value)) throw misfit(path, value, "a list");
    return value.map((inner, index) => item.read(inner, `${path}[${index}]`));
  };
  return new Field("a list", read, absentBy(fallback));
}

/** A table with keys of its own; without a fallback it is as if empty when it is missing. */
export function table(fields) {
  const read = (value, path) => readTable(fields, value, path);
  return new Field("a table", read, (path) => readTable(fields, {}, path));
}

/** A key that may be missing, and is `undefined` then. */
export function optional(field) {
  return new Field(field.expected, field.read, () => undefined);
}

/**
 * Reads the config of a stage.
 *
 * `json` is what the host hands over; `null` and nothing at all are an empty table.
 */
export function readConfig(fields, json, stage) {
  try {
    const value = json.trim() === "" ? null : JSON.parse(json);
    return readTable(fields, value ?? {}, "");
  } catch (error) {
    const said = error instanceof SyntaxError ? `no JSON: ${error.message}` : error.message;
    throw new StageError(`config of stage \`${stage}\`: ${said}`);
  }
}

function readTable(fields, value, path) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw misfit(path, value, "a table");
  }
  const unknown = Object.keys(value).find((key) => !Object.hasOwn(fields, key));
  if (unknown !== undefined) {
    const known = Object.keys(fields);
    const expected = known.length > 0 ? quoted(known) : "no key at all";
    throw new StageError(`at \`${join(path, unknown)}\`: unknown key, expected ${expected}`);
  }
  const entries = Object.entries(fields).map(([key, field]) => {
    const inner = join(path, key);
    return [key, Object.hasOwn(value, key) ? field.read(value[key], inner) : missing(field, inner)];
  });
  return Object.freeze(Object.fromEntries(entries));
}

function missing(field, path) {
  if (field.absent) return field.absent(path);
  throw new StageError(`at \`${path}\`: missing, expected ${field.expected}`);
}

function checked(expected, fits, fallback) {
  const read = (value, path) => {
    if (!fits(value)) throw misfit(path, value, expected);
    return value;
  };
  if (fallback !== undefined && !fits(fallback)) {
    throw new TypeError(`the default of a config key is ${found(fallback)}; expected ${expected}`);
  }
  return new Field(expected, read, absentBy(fallback));
}

function absentBy(fallback) {
  return fallback === undefined ? undefined : () => fallback;
}

function misfit(path, value, expected) {
  const at = path === "" ? "" : `at \`${path}\`: `;
  return new StageError(`${at}found ${found(value)}, expected ${expected}`);
}

function isWithin(value, { min = -Infinity, max = Infinity }) {
  return min <= value && value <= max;
}

function rangeOf({ min, max }) {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max !== undefined ? ` of at most ${max}` : "";
}

function join(path, key) {
  return path === "" ? key : `${path}.${key}`;
}

function quoted(names) {
  return names.map((name) => `\`${name}\``).join(", ");
}
