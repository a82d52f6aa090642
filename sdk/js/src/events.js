// Events a stage emits, built up column by column.

import { Event } from "./batch.js";
import { bytesOf, encode, found } from "./text.js";

const TOPICS_MAX = 65_536;
const CAPACITY_FIRST = 4_096;

/** Events to emit. */
export class Events {
  #payloads = new Bytes();
  #ends = [];
  /** Texts that are not in `#payloads` yet: encoding many at once is several times quicker. */
  #texts = [];
  #topics = [];
  #topicNumbers = new Map();
  #topicOf = [];
  #keys = new Bytes();
  #keyEnds = [];
  #headers = [];

  /** How many events so far. */
  get length() {
    return this.#ends.length + this.#texts.length;
  }

  /**
   * Adds an event: a string, bytes, which are copied at once, or an event that was delivered, which is copied with its
   * topic, key and headers as far as the options do not say others.
   */
  push(payload, options) {
    if (typeof payload === "string") {
      this.#texts.push(payload);
    } else if (payload instanceof Event) {
      this.#pushBytes(payload.payload);
      const copied = payload.options;
      if (copied || options) this.#describe({ ...copied, ...options });
      return;
    } else {
      this.#pushBytes(bytesOf(payload, "a payload"));
    }
    if (options) this.#describe(options);
  }

  /** The columns, as they go over the border. */
  intoColumns() {
    this.#flush();
    if (this.#topicOf.length > 0) this.#fillTopics(this.length);
    if (this.#keyEnds.length > 0) this.#fillKeys(this.length);
    return {
      payloads: this.#payloads.bytes(),
      ends: this.#ends,
      topics: this.#topics,
      topicOf: this.#topicOf,
      keys: this.#keys.bytes(),
      keyEnds: this.#keyEnds,
      headers: this.#headers,
    };
  }

  #pushBytes(bytes) {
    this.#flush();
    this.#payloads.append(bytes);
    this.#ends.push(this.#payloads.length);
  }

  #flush() {
    if (this.#texts.length === 0) return;
    const texts = this.#texts;
    this.#texts = [];
    const joined = texts.join("");
    const bytes = encode(joined);
    let end = this.#payloads.length;
    this.#payloads.append(bytes);
    // As many bytes as characters: all of it is ASCII, and each text is as long as it looks.
    const isAscii = bytes.length === joined.length;
    for (const text of texts) {
      end += isAscii ? text.length : encode(text).length;
      this.#ends.push(end);
    }
  }

  #describe({ topic, key, headers }) {
    if (topic) this.#setTopic(topic);
    if (key !== undefined && key.length > 0) this.#setKey(bytesOf(key, "a key"));
    if (headers !== undefined) this.#addHeaders(headers);
  }

  // The columns of topics and keys may be behind the events: they are filled when the next topic or key is set, and at
  // the end. So they stay empty for events that have none.

  #fillTopics(events) {
    if (this.#topicOf.length >= events) return;
    const none = this.#numberOf("");
    while (this.#topicOf.length < events) this.#topicOf.push(none);
  }

  #fillKeys(events) {
    while (this.#keyEnds.length < events) this.#keyEnds.push(this.#keys.length);
  }

  #setTopic(topic) {
    if (typeof topic !== "string") throw new TypeError(`a topic is ${found(topic)}; expected a string`);
    this.#fillTopics(this.length - 1);
    this.#topicOf.push(this.#numberOf(topic));
  }

  #numberOf(topic) {
    const known = this.#topicNumbers.get(topic);
    if (known !== undefined) return known;
    const number = this.#topics.length;
    if (number === TOPICS_MAX) {
      throw new RangeError(`at most ${TOPICS_MAX} different topics fit one batch; emit smaller batches`);
    }
    this.#topics.push(topic);
    this.#topicNumbers.set(topic, number);
    return number;
  }

  #setKey(key) {
    this.#fillKeys(this.length - 1);
    this.#keys.append(key);
    this.#keyEnds.push(this.#keys.length);
  }

  #addHeaders(headers) {
    const index = this.length - 1;
    const pairs = Symbol.iterator in headers ? headers : Object.entries(headers);
    for (const [name, value] of pairs) {
      if (typeof name !== "string" || typeof value !== "string") {
        throw new TypeError(`header ${found(name)} is ${found(value)}; expected strings`);
      }
      this.#headers.push([index, name, value]);
    }
  }
}

/** Bytes that grow. */
class Bytes {
  #buffer = new Uint8Array(0);
  length = 0;

  append(bytes) {
    const length = this.length + bytes.length;
    if (length > this.#buffer.length) this.#grow(length);
    this.#buffer.set(bytes, this.length);
    this.length = length;
  }

  bytes() {
    return this.#buffer.subarray(0, this.length);
  }

  #grow(length) {
    const grown = new Uint8Array(Math.max(length, 2 * this.#buffer.length, CAPACITY_FIRST));
    grown.set(this.bytes());
    this.#buffer = grown;
  }
}
