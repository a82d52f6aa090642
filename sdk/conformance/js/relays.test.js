import assert from "node:assert/strict";
import { test } from "node:test";

import { start } from "@forebay/sdk/testing";

import Batcher from "./batcher.js";
import Double from "./double.js";
import Filter from "./filter.js";

test("events are doubled with all they have, in order", () => {
  const given = [{ payload: "a", topic: "t", key: "k", headers: [["n", "1"]] }, "b"];
  const { events } = start(Double).transform(given);
  const seen = Array.from(events, (event) => [event.text(), event.topic, event.keyText(), event.headers]);
  const [a, b] = [
    ["a", "t", "k", [["n", "1"]]],
    ["b", "", "", []],
  ];
  assert.deepEqual(seen, [a, a, b, b]);
});

test("copies are counted and held to their range", () => {
  assert.equal(start(Double, { config: { copies: 0 } }).transform(["a"]).events.length, 0);
  assert.throws(() => start(Double, { config: { copies: 1001 } }), /at `copies`: found number 1001, expected a whole/);
});

test("the filter passes on, drops and rejects", () => {
  const stage = start(Filter, { config: { contains: "yes" } });
  const { events, rejections } = stage.transform(["yes 1", new Uint8Array([0xff]), "no", "later", "oh yes"]);
  assert.deepEqual(events.texts(), ["yes 1", "oh yes"]);
  assert.deepEqual(rejections, [
    { index: 1, retry: false, reason: "not UTF-8" },
    { index: 3, retry: true, reason: "later" },
  ]);
});

test("payloads are joined by size, over deliveries, and the rest at a tick", () => {
  const stage = start(Batcher, { config: { size: 2 } });
  assert.deepEqual(stage.transform(["a"]).events.texts(), []);
  assert.deepEqual(stage.transform(["b", "c", "", "d"]).events.texts(), ["a,b", "c,"]);
  assert.deepEqual(stage.tick().texts(), ["d"]);
  assert.deepEqual(stage.tick().texts(), []);
  assert.throws(() => start(Batcher, { config: { size: 0 } }), /at `size`: found number 0, expected .* from 1 to/);
});

test("as many as are joined are asked for", () => {
  const stage = start(Batcher, { config: { size: 2, ask: "source" } });
  stage.transform(["a", "b", "c"]);
  stage.tick();
  assert.deepEqual(
    stage.takeAsks().map(({ source, count }) => `${source} ${count}`),
    ["source 2", "source 2", "source 1"],
  );
});
