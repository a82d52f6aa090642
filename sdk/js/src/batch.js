// Events as a stage reads them: views into the columns that came over the border, cut when they are looked at.

import { decode } from "./text.js";

const EMPTY = new Uint8Array(0);

/** One event of a batch. */
export class Event {
  #columns;
  #index;

  constructor(columns, index) {
    this.#columns = columns;
    this.#index = index;
  }

  /** Its place in the batch, from 0. */
  get index() {
    return this.#index;
  }

  /** Its bytes: a view that is good for as long as one likes. */
  get payload() {
    return cut(this.#columns.payloads, this.#columns.ends, this.#index);
  }

  /** Its topic; the empty text for none. */
  get topic() {
    const { topics, topicOf } = this.#columns;
    return topics.length === 0 ? "" : topics[topicOf[this.#index]];
  }

  /** Its key; empty for none. */
  get key() {
    const { keys, keyEnds } = this.#columns;
    return keyEnds.length === 0 ? EMPTY : cut(keys, keyEnds, this.#index);
  }

  /** Its headers as [name, value], in the order they were added. */
  get headers() {
    const { headers } = this.#columns;
    if (headers.length === 0) return [];
    const found = [];
    for (let at = firstOf(headers, this.#index); at < headers.length; at++) {
      const [event, name, value] = headers[at];
      if (event !== this.#index) break;
      found.push([name, value]);
    }
    return found;
  }

  /** What it has besides its payload, as `push` takes it; `undefined` if no event of its batch has anything. */
  get options() {
    const { topics, keyEnds, headers } = this.#columns;
    if (topics.length === 0 && keyEnds.length === 0 && headers.length === 0) return undefined;
    return { topic: this.topic, key: this.key, headers: this.headers };
  }

  /** The value of the first header of this name, or `undefined`. */
  header(name) {
    return this.headers.find(([known]) => known === name)?.[1];
  }

  /** The payload as text; throws a TypeError if it is not UTF-8. */
  text() {
    try {
      return decode(this.payload);
    } catch {
      throw new TypeError(`the payload of event ${this.#index} is not UTF-8`);
    }
  }

  /** The payload as text, or `undefined` if it is not UTF-8. */
  tryText() {
    try {
      return decode(this.payload);
    } catch {
      return undefined;
    }
  }

  /** The payload parsed as JSON; throws a SyntaxError for anything else. */
  json() {
    return JSON.parse(this.text());
  }

  /** The key as text; throws a TypeError if it is not UTF-8. */
  keyText() {
    return decode(this.key);
  }
}

/** Any number of events. */
export class Batch {
  #columns;

  constructor(columns) {
    this.#columns = columns;
  }

  /** How many events. */
  get length() {
    return this.#columns.ends.length;
  }

  /** An event by its index, from 0 or, if negative, from the end; `undefined` beyond. */
  at(index) {
    const from = index < 0 ? this.length + index : index;
    return from in this.#columns.ends ? this.eventAt(from) : undefined;
  }

  /** The payloads as texts; throws a TypeError if one is not UTF-8. */
  texts() {
    return Array.from(this, (event) => event.text());
  }

  *[Symbol.iterator]() {
    const { length } = this;
    for (let index = 0; index < length; index++) yield this.eventAt(index);
  }

  /** What makes the event at an index that is there. */
  eventAt(index) {
    return new Event(this.#columns, index);
  }
}

function cut(bytes, ends, index) {
  return bytes.subarray(index === 0 ? 0 : ends[index - 1], ends[index]);
}

/** Where the headers of an event begin: they come by rising index, so halving finds it. */
function firstOf(headers, index) {
  let low = 0;
  let high = headers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (headers[middle][0] < index) low = middle + 1;
    else high = middle;
  }
  return low;
}
