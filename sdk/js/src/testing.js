// Runs a stage under `node --test`: no WebAssembly, no host.

import { Adapter } from "./adapter.js";
import { Batch, Event } from "./batch.js";
import { has, problemsOf, roleOf } from "./check.js";
import { Delivery } from "./delivery.js";
import { replaceAsk } from "./demand.js";
import { Events } from "./events.js";
import { replaceSink } from "./log.js";
import { bytesOf, isBytes } from "./text.js";

const OPTIONAL = ["checkpoint", "timer", "ingest", "call", "terminate"];

/** Starts a stage; throws what its constructor throws, and a StageError for a config that is wrong. */
export function start(Stage, setup = {}) {
  const role = roleOf(Stage);
  if (role === undefined) {
    throw new TypeError("`start` expects a class that extends Producer, Consumer or ProducerConsumer");
  }
  const optional = OPTIONAL.filter((name) => has(Stage, name));
  const problems = problemsOf({ default: Stage }, { stage: Stage.name, role, optional });
  if (problems.length > 0) throw new TypeError(problems.join("\n"));
  return new Harness(Stage, role, setup);
}

/**
 * A delivery of these events, as the first of source `source`: epoch 1, attempt 1, numbers from 0, unless `from` says
 * otherwise. An event is a payload or `{ payload, topic, key, headers }`.
 */
export function delivery(events, { source = "source", epoch = 1, attempt = 1, seq = 0 } = {}) {
  const columns = columnsOf(events);
  return new Delivery({ source, epoch, attempt, seqs: [[seq, columns.ends.length]], events: columns });
}

/** A batch of these events, as one comes in from outside. */
export function batch(events) {
  return new Batch(columnsOf(events));
}

/** A started stage, and the calls a host makes. */
class Harness {
  #adapter;
  #role;
  #logs = [];
  #asks = [];

  constructor(Stage, role, setup) {
    this.#adapter = new Adapter(Stage);
    this.#role = role;
    const { config = null, attributes = {}, ...names } = setup;
    const usual = { pipeline: "pipeline", stage: "stage", node: "node", instance: 0 };
    const context = {
      ...usual,
      ...names,
      config: JSON.stringify(config),
      attributes: Object.entries(attributes),
    };
    this.#logged(() => this.#adapter.init(context));
  }

  /** The stage itself, to look at its state. */
  get stage() {
    return this.#adapter.stage;
  }

  /** The lines logged since the start or the last call of this function, as { level, message }. */
  takeLogs() {
    return this.#logs.splice(0);
  }

  /** What the stage asked for since the start or the last call of this function, as { source, count }. */
  takeAsks() {
    return this.#asks.splice(0);
  }

  /** Asks for up to `demand` events. */
  demand(demand) {
    this.#expectRole("demand", "producer");
    const columns = this.#logged(() => this.#adapter.demand(demand));
    const emitted = columns.ends.length;
    refuseIf(emitted > demand, `the stage emitted ${emitted} events for a demand of ${demand}; none would be taken`);
    return new Batch(columns);
  }

  /** Hands over one batch and gives the rejections. */
  deliver(events) {
    this.#expectRole("deliver", "consumer");
    const { columns, length } = deliveredOf(events);
    const rejections = this.#logged(() => this.#adapter.consume(columns));
    checkRejections(rejections, length);
    return rejections;
  }

  /** Hands over one batch and gives what the stage makes of it. */
  transform(events) {
    this.#expectRole("transform", "producer-consumer");
    const { columns, length } = deliveredOf(events);
    const output = this.#logged(() => this.#adapter.transform(columns));
    checkRejections(output.rejections, length);
    return { events: new Batch(output.events), rejections: output.rejections };
  }

  /** Says that the `tick` interval has passed. */
  tick() {
    const columns = this.#logged(() => this.#adapter.tick());
    const emitted = columns.ends.length;
    refuseIf(
      this.#role === "consumer" && emitted > 0,
      `the stage emitted ${emitted} events at a tick; a consumer emits none`,
    );
    return new Batch(columns);
  }

  /** Pushes events in from outside. */
  ingest(events) {
    this.#expectRole("ingest", "producer");
    const given = columnsOf(events);
    return new Batch(this.#logged(() => this.#adapter.ingest(given)));
  }

  /** Asks the stage something; gives the bytes it answers. */
  call(request) {
    const bytes = bytesOf(request, "a request");
    return this.#logged(() => this.#adapter.call(bytes));
  }

  /** Takes a snapshot. */
  snapshot() {
    return this.#logged(() => this.#adapter.snapshot());
  }

  /** Hands over a snapshot. */
  restore(snapshot) {
    const bytes = bytesOf(snapshot, "a snapshot");
    this.#logged(() => this.#adapter.restore(bytes));
  }

  /** Ends the stage in good order; gives what it logged. */
  terminate(reason) {
    this.#logged(() => this.#adapter.terminate(reason));
    return this.takeLogs();
  }

  #expectRole(call, role) {
    if (this.#role !== role) throw new TypeError(`\`${call}\` is for a ${role}; the stage is a ${this.#role}`);
  }

  /** Makes a call with what it logs and, if it succeeds, asks for. */
  #logged(call) {
    const asks = [];
    const before = replaceSink((level, message) => this.#logs.push({ level, message }));
    const askBefore = replaceAsk((source, count) => asks.push({ source, count }));
    try {
      const result = call();
      this.#asks.push(...asks);
      return result;
    } finally {
      replaceSink(before);
      replaceAsk(askBefore);
    }
  }
}

function columnsOf(events) {
  const columns = new Events();
  for (const event of events) {
    const isBare = typeof event === "string" || isBytes(event) || event instanceof Event;
    if (isBare) columns.push(event);
    else columns.push(event.payload, event);
  }
  return columns.intoColumns();
}

/** A delivery as the host has it. One that is handed over twice begins without rejections both times. */
function deliveredOf(events) {
  const given = events instanceof Delivery ? events : delivery(events);
  return { columns: given.intoColumns(), length: given.length };
}

function checkRejections(rejections, events) {
  const seen = new Set();
  for (const { index } of rejections) {
    const isOfBatch = Number.isInteger(index) && index >= 0 && index < events;
    refuseIf(!isOfBatch, `rejection of event ${index}, but ${events} were delivered, counted from 0`);
    refuseIf(seen.has(index), `event ${index} was rejected twice; once is allowed`);
    seen.add(index);
  }
}

function refuseIf(condition, message) {
  if (condition) throw new Error(`a host refuses this: ${message}`);
}
