// The calls of a host on one instance of a stage: columns in, columns out. Used by the glue and by the harness alike.

import { Batch } from "./batch.js";
import { readConfig } from "./config.js";
import { Delivery } from "./delivery.js";
import { Events } from "./events.js";
import { Message } from "./message.js";
import { FIELDS } from "./stage.js";
import { bytesOf, found } from "./text.js";

/** Makes the instance and calls it. What the stage throws is passed on as it is. */
export class Adapter {
  #Stage;
  #stage;

  constructor(Stage) {
    this.#Stage = Stage;
  }

  /** The instance, once there is one. */
  get stage() {
    return this.#stage;
  }

  init(context) {
    const config = readConfig(this.#Stage[FIELDS], context.config, context.stage);
    const attributes = new Map(context.attributes);
    this.#stage = new this.#Stage(Object.freeze({ ...context, config, attributes }));
  }

  demand(demand) {
    const events = new Events();
    this.#call("handleDemand", demand, events);
    return events.intoColumns();
  }

  consume(given) {
    const delivery = new Delivery(given);
    this.#call("handleEvents", delivery);
    return delivery.rejections;
  }

  transform(given) {
    const delivery = new Delivery(given);
    const events = new Events();
    this.#call("handleEvents", delivery, events);
    return { events: events.intoColumns(), rejections: delivery.rejections };
  }

  tick() {
    const events = new Events();
    this.#call("handleTick", events);
    return events.intoColumns();
  }

  ingest(columns) {
    const events = new Events();
    this.#call("handleIngest", new Batch(columns), events);
    return events.intoColumns();
  }

  call(request) {
    return bytesOf(this.#ask("handleCall", new Message(request)), "what `handleCall` returned");
  }

  snapshot() {
    return bytesOf(this.#ask("snapshot"), "what `snapshot` returned");
  }

  restore(snapshot) {
    this.#call("restore", new Message(snapshot));
  }

  terminate(reason) {
    this.#call("terminate", reason);
  }

  #call(method, ...given) {
    const returned = this.#ask(method, ...given);
    if (returned === undefined) return;
    // Most likely events that were to be emitted: dropping them would lose them without a word.
    throw new TypeError(`\`${method}\` returned ${found(returned)}; expected nothing: push events instead`);
  }

  #ask(method, ...given) {
    const returned = this.#stage[method](...given);
    if (typeof returned?.then === "function") {
      throw new TypeError(`\`${method}\` returned a promise; a host waits for no promise: make it synchronous`);
    }
    return returned;
  }
}
