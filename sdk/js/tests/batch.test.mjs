import assert from "node:assert/strict";
import { test } from "node:test";

import { Batch } from "../src/batch.js";
import { Delivery } from "../src/delivery.js";
import { Events } from "../src/events.js";

function columnsOf(fill) {
  const events = new Events();
  fill(events);
  return events.intoColumns();
}

const seen = (batch) => Array.from(batch, (event) => [event.text(), event.topic, event.keyText(), event.headers]);

test("bare payloads leave the other columns empty", () => {
  const columns = columnsOf((events) => {
    events.push("a", { topic: "", key: "" });
    events.push("grün");
    events.push("");
  });
  assert.deepEqual([...columns.payloads], [...Buffer.from("agrün")]);
  assert.deepEqual(columns.ends, [1, 6, 6]);
  assert.deepEqual([columns.topics, columns.topicOf, columns.keyEnds, columns.headers], [[], [], [], []]);
  assert.equal(columns.keys.length, 0);
});

test("a late topic or key fills the events before it, and a topic is held once", () => {
  const columns = columnsOf((events) => {
    events.push("0");
    events.push("1");
    events.push("2", { topic: "t", key: "kk" });
    events.push("3");
    events.push("4", { topic: "t", key: "k", headers: { n: "v" } });
  });
  assert.deepEqual(
    [columns.topics, columns.topicOf],
    [
      ["", "t"],
      [0, 0, 1, 0, 1],
    ],
  );
  assert.deepEqual([Buffer.from(columns.keys).toString(), columns.keyEnds], ["kkk", [0, 0, 2, 2, 3]]);
  assert.deepEqual(columns.headers, [[4, "n", "v"]]);
});

test("texts and bytes keep their order, and bytes may be used again after the push", () => {
  const scratch = new Uint8Array([0x61]);
  const columns = columnsOf((events) => {
    events.push("1");
    events.push(scratch);
    scratch[0] = 0x62;
    events.push(scratch);
    events.push("2");
    assert.equal(events.length, 4);
  });
  assert.deepEqual(new Batch(columns).texts(), ["1", "a", "b", "2"]);
});

test("a copied event is equal, but for what the options say", () => {
  const given = new Batch(
    columnsOf((events) => {
      events.push("0");
      events.push("1", {
        topic: "t",
        key: "k",
        headers: [
          ["a", "1"],
          ["a", "2"],
        ],
      });
    }),
  );
  const same = new Batch(columnsOf((events) => [...given].forEach((event) => events.push(event))));
  assert.deepEqual(seen(same), seen(given));
  const other = new Batch(columnsOf((events) => events.push(given.at(1), { topic: "u", headers: {} })));
  assert.deepEqual(seen(other), [["1", "u", "k", []]]);
});

test("payloads, topics, keys and headers of another type are refused", () => {
  const events = new Events();
  assert.throws(() => events.push(7), /a payload is number 7; expected a string or a Uint8Array/);
  assert.throws(() => events.push("a", { key: 7n, topic: 7 }), /a topic is number 7; expected a string/);
  assert.throws(() => events.push("a", { key: [1] }), /a key is a list; expected a string or a Uint8Array/);
  assert.throws(() => events.push("a", { headers: { n: 1 } }), /header text "n" is number 1; expected strings/);
});

test("more topics than a column can hold are refused", () => {
  const events = new Events();
  for (let number = 1; number <= 65_536; number++) events.push("", { topic: `t${number}` });
  assert.throws(() => events.push("", { topic: "one more" }), /at most 65536 different topics fit one batch/);
});

test("an event says what is not UTF-8, and what it is as JSON", () => {
  const [text, bytes] = new Batch(
    columnsOf((events) => {
      events.push(`{"a":1}`);
      events.push(new Uint8Array([0xff]));
    }),
  );
  assert.deepEqual([text.json(), text.tryText(), text.header("n")], [{ a: 1 }, `{"a":1}`, undefined]);
  assert.equal(bytes.tryText(), undefined);
  assert.throws(() => bytes.text(), new TypeError("the payload of event 1 is not UTF-8"));
});

test("numbers of events come as runs, as numbers or bigints", () => {
  const events = columnsOf((events) => ["a", "b", "c"].forEach((payload) => events.push(payload)));
  const seqs = [
    [7n, 2],
    [100, 1],
  ];
  const delivery = new Delivery({ source: "s", epoch: 3n, attempt: 1, seqs, events });
  assert.deepEqual(
    Array.from(delivery, (event) => event.seq),
    [7, 8, 100],
  );
  assert.equal(delivery.epoch, 3);
  delivery.at(-1).retry("later");
  assert.deepEqual(delivery.rejections, [{ index: 2, retry: true, reason: "later" }]);
  assert.equal(delivery.at(3), undefined);
});
