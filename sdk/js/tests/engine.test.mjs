// What node never runs: UTF-8 by base64, and the table that leads back to the sources.

import assert from "node:assert/strict";
import { test } from "node:test";

import { framesOf } from "../src/stack.js";
import { decodeByBase64, encodeByBase64 } from "../src/text.js";
import { linesOf } from "../tool/lines.mjs";

// Node 20 has no base64 of typed arrays; both engines have.
Uint8Array.fromBase64 ??= (text) => new Uint8Array(Buffer.from(text, "base64"));
Uint8Array.prototype.toBase64 ??= function () {
  return Buffer.from(this).toString("base64");
};

test("UTF-8 by base64 is that of TextEncoder and TextDecoder", () => {
  for (const text of ["", "plain", "grün", "🌡 \u{10ffff}\u{7ff}\u{800}", "\u0000\u007f\u0080\u00ff", "\ufeffbom"]) {
    const bytes = new TextEncoder().encode(text);
    assert.deepEqual([...encodeByBase64(text)], [...bytes]);
    assert.equal(decodeByBase64(bytes), text);
  }
  assert.deepEqual([...encodeByBase64("a\ud800")], [...new TextEncoder().encode("a\ufffd")]);
});

test("what is not UTF-8 is refused", () => {
  const wrong = [
    [0xff],
    [0x80],
    [0xc3],
    [0xc0, 0x80],
    [0xe0, 0x80, 0xaf],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
  ];
  for (const bytes of wrong) {
    assert.throws(() => decodeByBase64(new Uint8Array(bytes)), new TypeError("the bytes are not UTF-8"));
  }
});

// The line map of two lines: the first from a.js:1, the second from b.js:3, then, from column 9 on, from b.js:5.
const map = { sources: ["../a.js", "../b.js"], mappings: "AAAA;ACEA,QAEE" };
const lines = linesOf(map, "greeter.bundle.js", (source) => source.slice(3));

test("a table of lines is made of a source map", () => {
  assert.deepEqual(lines, {
    file: "greeter.bundle.js",
    sources: ["a.js", "b.js"],
    lines: [
      [1, 0, 1],
      [1, 1, 3, 9, 1, 5],
    ],
  });
});

test("the stacks of both engines lead to the author's lines, without the engine's own", () => {
  const quickjs = `    at boom (/.forebay/gen/greeter/greeter.bundle.js:2:9)
    at <anonymous> (/greeter.bundle.js:1:4)
    at parse (native)
`;
  assert.deepEqual(framesOf({ stack: quickjs }, lines), ["boom (b.js:5)", "a.js:1"]);
  const starlingmonkey = `boom@greeter.bundle.js:2:8
@greeter.bundle.js:1:1
export_consume$handleEvents@/tmp/x/sources/initializer.js:200:28
`;
  assert.deepEqual(framesOf({ stack: starlingmonkey }, lines), ["boom (b.js:3)", "a.js:1"]);
});
