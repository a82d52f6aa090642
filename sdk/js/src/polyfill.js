// What authors and their packages expect of every JavaScript engine, where this one lacks it.
//
// The glue imports it before the author's module. Nothing here is loaded in node.

import { console } from "./log.js";
import { decodeByBase64, encodeByBase64 } from "./text.js";

/** Bytes asked of the host at once: 128 numbers for a call. */
const POOL_BYTES = 512;

class Utf8Encoder {
  encoding = "utf-8";

  encode(text = "") {
    return encodeByBase64(String(text));
  }
}

class Utf8Decoder {
  encoding = "utf-8";

  constructor(label = "utf-8", { fatal = false } = {}) {
    if (!/^utf-?8$/i.test(label)) throw new RangeError(`encoding ${label} is not there; expected utf-8`);
    this.fatal = fatal;
  }

  decode(bytes = new Uint8Array(0)) {
    const view = ArrayBuffer.isView(bytes)
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      : new Uint8Array(bytes);
    try {
      return decodeByBase64(view);
    } catch (error) {
      if (this.fatal) throw error;
      return decodeLeniently(view);
    }
  }
}

/** With U+FFFD for every byte that belongs to no character. */
function decodeLeniently(bytes) {
  const texts = [];
  for (let at = 0; at < bytes.length;) {
    const length = lengthOf(bytes[at]);
    const character = bytes.subarray(at, at + length);
    try {
      texts.push(decodeByBase64(character));
      at += length;
    } catch {
      texts.push("\ufffd");
      at += 1;
    }
  }
  return texts.join("");
}

function lengthOf(first) {
  if (first < 0xe0) return first < 0xc0 ? 1 : 2;
  return first < 0xf0 ? 3 : 4;
}

// In both engines: what is printed then goes the way of `log`.
globalThis.console = console;
globalThis.TextEncoder ??= Utf8Encoder;
globalThis.TextDecoder ??= Utf8Decoder;

/**
 * Makes random numbers the host's. QuickJS seeds its own when the component is built, so that every instance would draw
 * the same ones.
 *
 * `randomBytes(length)` gives that many; it must not be called while the component is built.
 */
export function takeRandomFrom(randomBytes) {
  let pool = new Uint32Array(0);
  let used = 0;
  Math.random = () => {
    if (used === pool.length) {
      pool = new Uint32Array(randomBytes(POOL_BYTES).slice().buffer);
      used = 0;
    }
    return pool[used++] / 2 ** 32;
  };
  globalThis.crypto = {
    getRandomValues(view) {
      new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(randomBytes(view.byteLength));
      return view;
    },
  };
}
