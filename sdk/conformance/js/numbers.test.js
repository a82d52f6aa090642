import assert from "node:assert/strict";
import { test } from "node:test";

import { StageError } from "@forebay/sdk";
import { start } from "@forebay/sdk/testing";

import Checkpointed from "./checkpointed.js";
import Counter from "./counter.js";

const numbers = (stage, demand) => stage.demand(demand).texts();

for (const Stage of [Counter, Checkpointed]) {
  test(`${Stage.name} counts from 0 by 1`, () => {
    const stage = start(Stage);
    assert.deepEqual(numbers(stage, 3), ["0", "1", "2"]);
    assert.deepEqual(numbers(stage, 1), ["3"]);
  });

  test(`${Stage.name} counts by step from start to its limit, padded`, () => {
    const stage = start(Stage, { config: { start: 8, step: -4, limit: 3, payload_bytes: 3 } });
    assert.deepEqual(numbers(stage, 2), ["008", "004"]);
    assert.deepEqual(numbers(stage, 2), ["000"]);
    assert.deepEqual(numbers(stage, 2), []);
  });

  test(`${Stage.name} refuses a step of 0, a wrong type and an unknown key`, () => {
    assert.throws(() => start(Stage, { config: { step: 0 } }), /`step` is 0; expected/);
    assert.throws(() => start(Stage, { config: { start: "x" } }), /at `start`: found text "x", expected a whole/);
    assert.throws(() => start(Stage, { config: { strat: 1 } }), /at `strat`: unknown key, expected `start`, `step`/);
  });
}

test("what is pushed in comes out with its key and headers", () => {
  const stage = start(Counter);
  const given = [{ payload: "a", key: "k", headers: { n: "v" }, topic: "t" }, "b"];
  const [first, second] = stage.ingest(given);
  assert.deepEqual([first.text(), first.topic, first.keyText(), first.headers], ["a", "ingested", "k", [["n", "v"]]]);
  assert.deepEqual([second.text(), second.topic, second.key.length], ["b", "ingested", 0]);
  assert.deepEqual(numbers(stage, 1), ["0"]);
});

test("a call sets the next number, and an unknown one changes nothing", () => {
  const stage = start(Counter);
  const ask = (request) => Buffer.from(stage.call(request)).toString();
  assert.equal(ask(`{"set": 41}`), `{"next":41}`);
  assert.equal(ask("{}"), `{"next":41}`);
  for (const request of ["what?", "", "[]", "null", `{"set":"3"}`, `{"set":1.5}`, `{"set":1,"get":2}`]) {
    assert.throws(() => ask(request), new StageError(`unknown request: ${request}`));
  }
  assert.deepEqual(numbers(stage, 1), ["41"]);
});

test("another instance goes on from a snapshot", () => {
  const first = start(Checkpointed);
  first.demand(5);
  const second = start(Checkpointed);
  second.restore(first.snapshot());
  assert.deepEqual(numbers(second, 2), ["5", "6"]);
  for (const wrong of ["abc", "", "1.5", "-"]) {
    assert.throws(() => second.restore(wrong), new StageError(`snapshot \`${wrong}\`: expected a number`));
  }
});

test("the end is logged with its reason", () => {
  assert.deepEqual(start(Checkpointed).terminate("enough"), [{ level: "info", message: "terminated: enough" }]);
});
