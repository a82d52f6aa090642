// Joins payloads, a number of them at a time; what is left goes out when the clock says so.

import {
  type Context,
  type Delivery,
  type Events,
  ProducerConsumer,
  ask,
  int,
  optional,
  text,
} from "@forebay/sdk";

const COMMA = new Uint8Array([0x2c]);

const FIELDS = { size: int(3, { min: 1, max: 2 ** 32 - 1 }), ask: optional(text()) };

export default class Batcher extends ProducerConsumer(FIELDS) {
  #payloads: Uint8Array[] = [];

  constructor(context: Context<{ size: number; ask: string | undefined }>) {
    super(context);
    this.#ask(this.config.size);
  }

  handleEvents(delivery: Delivery, events: Events) {
    for (const { payload } of delivery) {
      this.#payloads.push(payload);
      if (this.#payloads.length === this.config.size) this.#emit(events);
    }
  }

  override handleTick(events: Events) {
    if (this.#payloads.length > 0) this.#emit(events);
  }

  #emit(events: Events) {
    events.push(joined(this.#payloads));
    this.#ask(this.#payloads.length);
    this.#payloads = [];
  }

  /** Asks for as many events as are joined. */
  #ask(count: number) {
    if (this.config.ask !== undefined) ask(this.config.ask, count);
  }
}

/** The payloads with a comma between each two; they may be other than text. */
function joined(payloads: Uint8Array[]) {
  const parts = payloads.flatMap((payload, index) => (index === 0 ? [payload] : [COMMA, payload]));
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let end = 0;
  for (const part of parts) {
    bytes.set(part, end);
    end += part.length;
  }
  return bytes;
}
