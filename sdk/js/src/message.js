// Bytes from outside that are no event: a request, a snapshot.

import { decode } from "./text.js";

/** Some bytes, and what they may be read as. */
export class Message {
  constructor(bytes) {
    /** The bytes themselves. */
    this.bytes = bytes;
  }

  /** The bytes as text; throws a TypeError if they are not UTF-8. */
  text() {
    return decode(this.bytes);
  }

  /** The bytes parsed as JSON; throws a SyntaxError for anything else. */
  json() {
    return JSON.parse(this.text());
  }
}
