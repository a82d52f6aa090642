import assert from "node:assert/strict";
import { test } from "node:test";

import { start } from "@forebay/sdk/testing";

import __Type__ from "./__name__.js";

test("greets everybody, and keeps the key", () => {
  const { events } = start(__Type__).transform([{ payload: "Ada", key: "a" }, "Grace"]);
  assert.deepEqual(events.texts(), ["Hello, Ada!", "Hello, Grace!"]);
  assert.equal(events.at(0).keyText(), "a");
});

test("what is no name is rejected", () => {
  const { rejections } = start(__Type__).transform([new Uint8Array([0xff])]);
  assert.deepEqual(rejections, [{ index: 0, retry: false, reason: "a name is UTF-8" }]);
});
