// Events on their way into a consuming stage, with where they come from and which of them were rejected.

import { Batch, Event } from "./batch.js";

/** One event of a delivery. */
export class DeliveredEvent extends Event {
  #delivery;

  constructor(columns, index, delivery) {
    super(columns, index);
    this.#delivery = delivery;
  }

  /** The number its source's host gave it; a redelivered event keeps its number. */
  get seq() {
    return this.#delivery.seqAt(this.index);
  }

  /** Gives this event up: it becomes a dead letter. */
  reject(reason) {
    this.#delivery.reject(this.index, reason);
  }

  /** Asks for another attempt at this event, later. */
  retry(reason) {
    this.#delivery.retry(this.index, reason);
  }
}

/** The events of one call, and their source. */
export class Delivery extends Batch {
  #columns;
  #seqs;
  #rejections = [];

  constructor({ source, epoch, attempt, seqs, events }) {
    super(events);
    this.#columns = events;
    this.#seqs = seqs;
    /** The stage that emitted the events, by its name in the pipeline. */
    this.source = source;
    /** Rises with each new owner and each restart of the source. */
    this.epoch = Number(epoch);
    /** 1 the first time these events are delivered. */
    this.attempt = attempt;
  }

  eventAt(index) {
    return new DeliveredEvent(this.#columns, index, this);
  }

  /** Gives the event at an index up: it becomes a dead letter. */
  reject(index, reason) {
    this.#rejections.push({ index, retry: false, reason: String(reason) });
  }

  /** Asks for another attempt at the event at an index, later. */
  retry(index, reason) {
    this.#rejections.push({ index, retry: true, reason: String(reason) });
  }

  /** What was rejected so far. */
  get rejections() {
    return [...this.#rejections];
  }

  /** As it came over the border. */
  intoColumns() {
    const { source, epoch, attempt } = this;
    return { source, epoch, attempt, seqs: this.#seqs, events: this.#columns };
  }

  /** The number of the event at an index. Numbers come as runs of [first, count]. */
  seqAt(index) {
    let before = 0;
    for (const [first, count] of this.#seqs) {
      // QuickJS hands over a number, StarlingMonkey a bigint.
      if (index < before + count) return Number(first) + (index - before);
      before += count;
    }
    return undefined;
  }
}
