// A producer of consecutive numbers that another instance can go on from.

import { Producer, StageError, log } from "@forebay/sdk";

import { Numbers, fields } from "./numbers.js";

export default class Checkpointed extends Producer(fields) {
  #numbers = new Numbers(this.config);

  handleDemand(demand, events) {
    this.#numbers.emit(demand, events);
  }

  snapshot() {
    return String(this.#numbers.next);
  }

  restore(snapshot) {
    const text = new TextDecoder().decode(snapshot.bytes);
    if (!/^-?\d+$/.test(text)) throw new StageError(`snapshot \`${text}\`: expected a number`);
    this.#numbers.next = Number(text);
  }

  terminate(reason) {
    log.info(`terminated: ${reason}`);
  }
}
