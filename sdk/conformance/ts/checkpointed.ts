// A producer of consecutive numbers that another instance can go on from.

import { type Events, type Message, Producer, StageError, log } from "@forebay/sdk";

import { Numbers, fields } from "./numbers.ts";

export default class Checkpointed extends Producer(fields) {
  #numbers = new Numbers(this.config);

  handleDemand(demand: number, events: Events) {
    this.#numbers.emit(demand, events);
  }

  override snapshot() {
    return String(this.#numbers.next);
  }

  override restore(snapshot: Message) {
    const text = new TextDecoder().decode(snapshot.bytes);
    if (!/^-?\d+$/.test(text)) throw new StageError(`snapshot \`${text}\`: expected a number`);
    this.#numbers.next = Number(text);
  }

  override terminate(reason: string) {
    log.info(`terminated: ${reason}`);
  }
}
