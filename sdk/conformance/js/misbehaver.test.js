import assert from "node:assert/strict";
import { test } from "node:test";

import { Fatal, Retry, StageError } from "@forebay/sdk";
import { start } from "@forebay/sdk/testing";

import Misbehaver from "./misbehaver.js";

const go = (mode) => start(Misbehaver, { config: { mode } }).deliver(["go"]);

test("payloads are logged and `no` is rejected", () => {
  const stage = start(Misbehaver);
  assert.deepEqual(stage.deliver(["a", "no", "go"]), [{ index: 1, retry: false, reason: "no" }]);
  const messages = stage.takeLogs().map(({ level, message }) => `${level} ${message}`);
  assert.deepEqual(messages, ["info a", "info no", "info go"]);
});

test("it fails as it is told to", () => {
  assert.throws(() => go("retry"), new Retry("told to"));
  assert.throws(() => go("fatal"), new Fatal("told to"));
  assert.throws(() => go("other"), new StageError("told to"));
  assert.throws(() => go("trap"), new Error("told to trap"));
  assert.throws(() => start(Misbehaver, { config: { mode: "init" } }), new StageError("told to fail"));
});

test("what a host refuses is refused here", () => {
  assert.throws(() => go("outside"), /a host refuses this: rejection of event 4294967295, but 1 were delivered/);
  assert.throws(() => go("twice"), /a host refuses this: event 0 was rejected twice/);
});

test("a mode it does not know is refused with those it knows", () => {
  assert.throws(() => go("explode"), /at `mode`: found text "explode", expected one of `ok`, `retry`/);
});
