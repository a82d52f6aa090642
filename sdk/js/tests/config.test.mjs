import assert from "node:assert/strict";
import { test } from "node:test";

import { bool, int, list, number, oneOf, optional, readConfig, table, text } from "../src/config.js";

const fields = {
  start: int(0),
  ratio: number(0.5, { min: 0, max: 1 }),
  name: text("x"),
  loud: bool(false),
  mode: oneOf(["fast", "slow"], "fast"),
  limit: optional(int()),
  limits: table({ sizes: list(int(undefined, { min: 1 }), [1]) }),
};
const read = (json) => readConfig(fields, json, "counter");
const refused = (json) => {
  try {
    read(json);
  } catch (error) {
    return error.message.replace("config of stage `counter`: ", "");
  }
  return assert.fail("it was read");
};

test("no config and an empty one give the defaults", () => {
  const defaults = {
    start: 0,
    ratio: 0.5,
    name: "x",
    loud: false,
    mode: "fast",
    limit: undefined,
    limits: { sizes: [1] },
  };
  for (const json of ["null", "{}", "", " null "]) assert.deepEqual({ ...read(json) }, defaults);
});

test("what is there is read", () => {
  const config = read(`{"start":-3,"ratio":1,"loud":true,"mode":"slow","limit":5,"limits":{"sizes":[1,2]}}`);
  assert.deepEqual([config.start, config.ratio, config.loud, config.mode, config.limit], [-3, 1, true, "slow", 5]);
  assert.deepEqual(config.limits.sizes, [1, 2]);
});

test("a wrong value is named by its key, what was found and what was expected", () => {
  assert.equal(refused(`{"start":"x"}`), 'at `start`: found text "x", expected a whole number');
  assert.equal(refused(`{"start":1.5}`), "at `start`: found number 1.5, expected a whole number");
  assert.equal(refused(`{"start":null}`), "at `start`: found null, expected a whole number");
  assert.equal(
    refused(`{"start":9007199254740993}`),
    "at `start`: found number 9007199254740992, expected a whole number",
  );
  assert.equal(refused(`{"ratio":2}`), "at `ratio`: found number 2, expected a number from 0 to 1");
  assert.equal(refused(`{"mode":"?"}`), 'at `mode`: found text "?", expected one of `fast`, `slow`');
  assert.equal(refused(`{"loud":0}`), "at `loud`: found number 0, expected true or false");
  assert.equal(refused(`{"limits":[]}`), "at `limits`: found a list, expected a table");
  const inner = "at `limits.sizes[1]`: found number 0, expected a whole number of at least 1";
  assert.equal(refused(`{"limits":{"sizes":[1,0]}}`), inner);
});

test("an unknown key is named with those that are known", () => {
  assert.match(refused(`{"strat":1}`), /^at `strat`: unknown key, expected `start`, `ratio`/);
  assert.equal(refused(`{"limits":{"size":1}}`), "at `limits.size`: unknown key, expected `sizes`");
  assert.match(refused(`{"__proto__":1}`), /unknown key/);
  assert.match(refused(`{"toString":1}`), /at `toString`: unknown key/);
});

test("a key without a fallback must be there", () => {
  assert.throws(
    () => readConfig({ path: text() }, "null", "sink"),
    /^StageError: config of stage `sink`: at `path`: missing, expected text$/,
  );
});

test("text that is no JSON and a config that is no table are refused", () => {
  assert.match(refused(`{"start":`), /^no JSON: /);
  assert.equal(refused("[1]"), "found a list, expected a table");
});

test("a default that does not fit is the author's mistake", () => {
  assert.throws(() => int("1"), /the default of a config key is text "1"; expected a whole number/);
});
