import assert from "node:assert/strict";
import { test } from "node:test";

import { start } from "@forebay/sdk/testing";

import __Type__ from "./__name__.js";

test("greets until it has greeted often enough", () => {
  const stage = start(__Type__, { config: { greeting: "Hi", count: 3 } });
  assert.deepEqual(stage.demand(2).texts(), ["Hi number 1", "Hi number 2"]);
  assert.deepEqual(stage.demand(2).texts(), ["Hi number 3"]);
});

test("a wrong config is refused", () => {
  assert.throws(() => start(__Type__, { config: { count: "many" } }), /at `count`: found text "many"/);
});
