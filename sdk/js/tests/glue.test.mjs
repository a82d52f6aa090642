import assert from "node:assert/strict";
import { test } from "node:test";

// The glue puts a console of its own in place of node's.
const nodes = globalThis.console;
const { expose } = await import("../src/glue.js");
globalThis.console = nodes;

import { Consumer, Fatal, Producer, Retry, StageError, ask, int } from "../src/index.js";
import { start } from "../src/testing.js";

const PRODUCER = { stage: "p", role: "producer", optional: [] };
const CONTEXT = { pipeline: "p", stage: "s", node: "n", instance: 0, config: "null", attributes: [["zone", "a"]] };

function started(Stage, manifest = PRODUCER) {
  const lines = [];
  const host = { log: (level, message) => lines.push(`${level} ${message}`) };
  const stage = expose({ default: Stage }, manifest, host);
  stage.lifecycle.init(CONTEXT);
  return { stage, lines };
}

const problem = (author, manifest = PRODUCER) => {
  try {
    expose(author, manifest, { log() {} });
  } catch (error) {
    return error.message;
  }
  return assert.fail("it was taken");
};

test("errors of ours become the call's, others are logged and thrown on", () => {
  const thrown = [new Retry("a"), new Fatal("b"), new StageError("c")];
  class Failing extends Producer {
    handleDemand() {
      throw thrown.shift() ?? new RangeError("told to");
    }
  }
  const { stage, lines } = started(Failing);
  const fails = (expected) => assert.throws(() => stage.produce.handleDemand(1), expected);
  fails((error) => assert.deepEqual(error, { tag: "retry", val: "a" }) ?? true);
  fails((error) => assert.deepEqual(error, { tag: "fatal", val: "b" }) ?? true);
  fails((error) => assert.deepEqual(error, { tag: "other", val: "c" }) ?? true);
  assert.deepEqual(lines, []);
  fails(RangeError);
  assert.equal(lines.length, 1);
  assert.match(
    lines[0],
    /^error uncaught RangeError: told to, at Failing.handleDemand \(file:.*glue.test.mjs:\d+:\d+\)/,
  );
});

test("a config that is wrong is the error of init, as text", () => {
  class Counting extends Producer({ start: int() }) {
    handleDemand() {}
  }
  assert.throws(
    () => started(Counting),
    (error) => error === "config of stage `s`: at `start`: missing, expected a whole number",
  );
});

test("a stage is given its context", () => {
  class Looking extends Producer({ start: int(7) }) {
    handleDemand(_, events) {
      events.push([this.config.start, this.context.node, this.context.attributes.get("zone")].join());
    }
  }
  const { payloads } = started(Looking).stage.produce.handleDemand(1);
  assert.equal(Buffer.from(payloads).toString(), "7,n,a");
});

test("a module that is not the stage forebay.toml says is refused by name", () => {
  class Silent extends Consumer {}
  class Sink extends Consumer {
    handleEvents() {}
  }
  class Ticking extends Producer {
    async handleDemand() {}
    handleTick() {}
  }
  const consumer = { ...PRODUCER, role: "consumer" };
  assert.match(problem({}), /it has no default export; expected `export default class ... extends Producer`/);
  assert.match(problem({ default: class {} }), /its default export is no stage/);
  assert.match(problem({ default: Sink }), /class Sink extends Consumer, but forebay.toml says role = "producer"/);
  assert.match(problem({ default: Silent }, consumer), /class Silent has no method `handleEvents\(delivery\)`/);
  const both = problem({ default: Ticking });
  assert.match(both, /`handleDemand` of class Ticking is async/);
  assert.match(
    both,
    /class Ticking has `handleTick`, which nobody would call; add "timer" to `optional` of \[stages.p\]/,
  );
  const asked = { ...consumer, optional: ["checkpoint"] };
  assert.match(problem({ default: Sink }, asked), /has no method `snapshot\(\)`, which `optional` .* by "checkpoint"/);
});

test("what a handler returns by mistake is refused, not dropped", () => {
  class Returning extends Producer {
    handleDemand(demand) {
      return demand === 1 ? ["an event"] : Promise.resolve();
    }
  }
  const stage = start(Returning);
  assert.throws(() => stage.demand(1), /`handleDemand` returned a list; expected nothing: push events instead/);
  assert.throws(() => stage.demand(2), /`handleDemand` returned a promise/);
});

test("the harness refuses what a host refuses", () => {
  class Eager extends Producer {
    handleDemand(demand, events) {
      for (let event = 0; event <= demand; event++) events.push("x");
    }
  }
  const refused = "a host refuses this: the stage emitted 3 events for a demand of 2; none would be taken";
  assert.throws(() => start(Eager).demand(2), new Error(refused));
  assert.throws(
    () => start(Eager).deliver(["a"]),
    new TypeError("`deliver` is for a consumer; the stage is a producer"),
  );
});

const CONSUMER = { stage: "c", role: "consumer", optional: ["demand"] };

/** Asks for as many events as each payload says. */
class Eager extends Consumer {
  constructor(context) {
    super(context);
    ask("other", 1);
  }

  handleEvents(delivery) {
    for (const event of delivery) {
      ask(delivery.source, Number(event.text()));
      if (event.text() === "13") throw new Retry("told to");
    }
  }
}

test("what is asked for goes to the host, whose error is fatal", () => {
  const asked = [];
  const host = {
    log() {},
    ask(source, count) {
      if (source === "unknown") throw Object.assign(new Error("ComponentError"), { payload: "no such source" });
      asked.push([source, count >>> 0]);
    },
  };
  const stage = expose({ default: Eager }, CONSUMER, host);
  stage.lifecycle.init(CONTEXT);
  ask("source", 2 ** 32 - 1);
  assert.deepEqual(asked, [
    ["other", 1],
    ["source", 2 ** 32 - 1],
  ]);
  assert.throws(() => ask("unknown", 1), new Fatal("no such source"));
  assert.throws(() => ask("source", -1), /RangeError: `count` is -1; expected a whole number from 0 to 4294967295/);
  assert.throws(() => ask(7, 1), TypeError);
  const without = expose({ default: Eager }, { ...CONSUMER, optional: [] }, { log() {} });
  assert.throws(
    () => without.lifecycle.init(CONTEXT),
    (error) => assert.match(error, /`other` cannot be asked; add "demand" to `optional` of \[stages.c\]/) ?? true,
  );
});

test("the harness keeps what is asked for, unless its call failed", () => {
  const stage = start(Eager);
  stage.deliver(["3", "4"]);
  assert.throws(() => stage.deliver(["5", "13"]), Retry);
  stage.deliver(["6"]);
  const of = (source) => (count) => ({ source, count });
  assert.deepEqual(stage.takeAsks(), [of("other")(1), ...[3, 4, 6].map(of("source"))]);
  assert.deepEqual(stage.takeAsks(), []);
});
