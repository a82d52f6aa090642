import assert from "node:assert/strict";
import { test } from "node:test";

import { start } from "@forebay/sdk/testing";

import __Type__ from "./__name__.ts";

test("greets everybody in the log", () => {
  const stage = start(__Type__, { config: { greeting: "Hi" } });
  assert.deepEqual(stage.deliver(["Ada", "Grace"]), []);
  assert.deepEqual(stage.takeLogs(), [
    { level: "info", message: "Hi, Ada!" },
    { level: "info", message: "Hi, Grace!" },
  ]);
});

test("what is no name is rejected", () => {
  const rejections = start(__Type__).deliver(["Ada", new Uint8Array([0xff])]);
  assert.deepEqual(rejections, [{ index: 1, retry: false, reason: "a name is UTF-8" }]);
});
