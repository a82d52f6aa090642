/** Stages of Forebay pipelines. The classes are documented in the README beside this package. */

/** What may stand at one key of a config. Made by `int`, `text` and so on. */
export interface Field<T> {
  readonly expected: string;
  /** Never there: it carries the type. */
  readonly __type?: T;
}
/** The keys of a config. */
export type Fields = Readonly<Record<string, Field<unknown>>>;
/** The config that is read by these fields. */
export type ConfigOf<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never;
};

/** The range of a number, both ends included. */
export interface Limits {
  readonly min?: number;
  readonly max?: number;
}

/** A whole number, up to 2^53 in size. Without a fallback the key must be there. */
export function int(fallback?: number, limits?: Limits): Field<number>;
/** A number, whole or not. Without a fallback the key must be there. */
export function number(fallback?: number, limits?: Limits): Field<number>;
/** A text. Without a fallback the key must be there. */
export function text(fallback?: string): Field<string>;
/** True or false. Without a fallback the key must be there. */
export function bool(fallback?: boolean): Field<boolean>;
/** One of these texts. Without a fallback the key must be there. */
export function oneOf<const T extends string>(choices: readonly T[], fallback?: NoInfer<T>): Field<T>;
/** A list whose items are all of one kind. Without a fallback the key must be there. */
export function list<T>(item: Field<T>, fallback?: readonly T[]): Field<readonly T[]>;
/** A table with keys of its own; as if empty when it is missing. */
export function table<F extends Fields>(fields: F): Field<ConfigOf<F>>;
/** A key that may be missing, and is `undefined` then. */
export function optional<T>(field: Field<T>): Field<T | undefined>;

/** What a stage is told about itself when it starts. */
export interface Context<C = {}> {
  /** The pipeline's name. */
  readonly pipeline: string;
  /** The stage's name in the pipeline. */
  readonly stage: string;
  /** The name of the node it runs on. */
  readonly node: string;
  /** Which instance of the stage on this node, from 0. */
  readonly instance: number;
  /** The stage's config. */
  readonly config: C;
  /** Further facts that a later host may add. */
  readonly attributes: ReadonlyMap<string, string>;
}

/** A payload or key: a string stands for its UTF-8. */
export type Data = string | Uint8Array;

/** What an event has besides its payload. */
export interface EventOptions {
  /** What subscriptions choose by. */
  readonly topic?: string;
  /** Events of one key go to the same consumer when the dispatcher partitions by it. */
  readonly key?: Data;
  /** Names and values; as pairs where a name comes more than once. */
  readonly headers?: Readonly<Record<string, string>> | Iterable<readonly [string, string]>;
}

/** One event of a batch: a view that cuts what is looked at. */
export declare class Event {
  protected constructor();
  /** Its place in the batch, from 0. */
  readonly index: number;
  readonly payload: Uint8Array;
  /** The empty text for none. */
  readonly topic: string;
  /** Empty for none. */
  readonly key: Uint8Array;
  /** [name, value], in the order they were added. */
  readonly headers: [name: string, value: string][];
  /** What it has besides its payload, as `push` takes it; `undefined` if no event of its batch has anything. */
  readonly options: EventOptions | undefined;
  /** The value of the first header of this name. */
  header(name: string): string | undefined;
  /** The payload as text; throws a TypeError if it is not UTF-8. */
  text(): string;
  /** The payload as text, or `undefined` if it is not UTF-8. */
  tryText(): string | undefined;
  /** The payload parsed as JSON; throws a SyntaxError for anything else. */
  json(): unknown;
  /** The key as text; throws a TypeError if it is not UTF-8. */
  keyText(): string;
}

/** Any number of events. */
export declare class Batch<E extends Event = Event> implements Iterable<E> {
  protected constructor();
  readonly length: number;
  /** An event by its index, from 0 or, if negative, from the end. */
  at(index: number): E | undefined;
  /** The payloads as texts; throws a TypeError if one is not UTF-8. */
  texts(): string[];
  [Symbol.iterator](): Iterator<E>;
}

/** One event of a delivery. */
export declare class DeliveredEvent extends Event {
  /** The number its source's host gave it; a redelivered event keeps its number. Exact up to 2^53. */
  readonly seq: number;
  /** Gives this event up: it becomes a dead letter. */
  reject(reason: string): void;
  /** Asks for another attempt at this event, later. */
  retry(reason: string): void;
}

/** The events of one call, and their source. What is not rejected counts as processed. */
export declare class Delivery extends Batch<DeliveredEvent> {
  /** The stage that emitted the events, by its name in the pipeline. */
  readonly source: string;
  /** Rises with each new owner and each restart of the source. Exact up to 2^53. */
  readonly epoch: number;
  /** 1 the first time these events are delivered, one more each time they are delivered again. */
  readonly attempt: number;
  /** Gives the event at an index up: it becomes a dead letter. */
  reject(index: number, reason: string): void;
  /** Asks for another attempt at the event at an index, later. */
  retry(index: number, reason: string): void;
  /** What was rejected so far. */
  readonly rejections: Rejection[];
}

/** One event a stage could not process. */
export interface Rejection {
  /** Its index in the delivery. */
  readonly index: number;
  /** Whether a later attempt may succeed. */
  readonly retry: boolean;
  readonly reason: string;
}

/** Events to emit. */
export declare class Events {
  /** How many events so far. */
  readonly length: number;
  /**
   * Adds an event: a string, bytes, which are copied at once, or an event that came in, which is copied with its topic,
   * key and headers as far as the options do not say others.
   */
  push(payload: Data | Event, options?: EventOptions): void;
}

/** Bytes from outside that are no event: a request, a snapshot. */
export declare class Message {
  private constructor();
  readonly bytes: Uint8Array;
  /** The bytes as text; throws a TypeError if they are not UTF-8. */
  text(): string;
  /** The bytes parsed as JSON; throws a SyntaxError for anything else. */
  json(): unknown;
}

/** What any stage may have besides the calls of its role. `optional` in forebay.toml names what is there. */
export declare abstract class Stage<C> {
  constructor(context: Context<C>);
  readonly context: Context<C>;
  readonly config: C;
  /** `checkpoint`: the whole state after the last call, for `restore` of a later instance. */
  snapshot?(): Data;
  /** `checkpoint`: called before anything else with what `snapshot` gave. */
  restore?(snapshot: Message): void;
  /** `timer`: called each time the stage's `tick` interval has passed. A consumer emits nothing. */
  handleTick?(events: Events): void;
  /** `call`: answers one request. */
  handleCall?(request: Message): Data;
  /** `terminate`: the last call of an instance that ends in good order. */
  terminate?(reason: string): void;
}

export declare abstract class ProducerStage<C> extends Stage<C> {
  /** Asks for up to `demand` events, at least 1; fewer or none are fine, more are refused. */
  abstract handleDemand(demand: number, events: Events): void;
  /** `ingest`: takes events from outside; what is pushed is emitted in their place. */
  handleIngest?(batch: Batch, events: Events): void;
}

export declare abstract class ConsumerStage<C> extends Stage<C> {
  /** Takes one delivery; what is not rejected counts as processed. */
  abstract handleEvents(delivery: Delivery): void;
}

export declare abstract class ProducerConsumerStage<C> extends Stage<C> {
  /** Takes one delivery and pushes what it makes of it. */
  abstract handleEvents(delivery: Delivery, events: Events): void;
}

/** A source of events: `extends Producer`, or `extends Producer({ start: int(0) })` with config. */
export declare const Producer: (abstract new (context: Context) => ProducerStage<{}>) &
  (<F extends Fields>(fields: F) => abstract new (context: Context<ConfigOf<F>>) => ProducerStage<ConfigOf<F>>);

/** A sink of events: `extends Consumer`, or `extends Consumer({ path: text() })` with config. */
export declare const Consumer: (abstract new (context: Context) => ConsumerStage<{}>) &
  (<F extends Fields>(fields: F) => abstract new (context: Context<ConfigOf<F>>) => ConsumerStage<ConfigOf<F>>);

/** Makes events of events: `extends ProducerConsumer`, or `extends ProducerConsumer({ ... })` with config. */
export declare const ProducerConsumer: (abstract new (context: Context) => ProducerConsumerStage<{}>) &
  (<F extends Fields>(fields: F) => abstract new (context: Context<ConfigOf<F>>) => ProducerConsumerStage<ConfigOf<F>>);

/** The call failed; the host ends this instance and applies the restart policy. */
export declare class StageError extends Error {
  readonly tag: "retry" | "fatal" | "other";
}
/** A passing trouble: the host makes the call again, later. */
export declare class Retry extends StageError {}
/** The stage cannot go on: the host ends this instance and applies the restart policy. */
export declare class Fatal extends StageError {}

/**
 * Asks a source, by its name in the pipeline, for `count` further events: a whole number from 0 to 2^32 - 1.
 *
 * `optional` in forebay.toml lists `demand`, and the pipeline file subscribes to the source with `ask = "manual"`: of it
 * nothing comes but what is asked for here, in as many calls of `handleEvents` as the source makes of it.
 *
 * It may be called in the constructor and in every call of a consumer or producer-consumer but `terminate`, and counts
 * once that call has succeeded. At most the subscription's `max_demand` is open at a time, asked for and not handed over.
 * What was asked for stays asked for when the source moves to another node. A fresh instance asks anew, in its
 * constructor: what is still open of a former one on the same node is part of it.
 *
 * Throws `Fatal` if there is no such subscription.
 */
export declare function ask(source: string, count: number): void;

/** How much a log line matters. */
export type Level = "trace" | "debug" | "info" | "warn" | "error";
/** Lines for the node's log: values are joined by spaces, objects as JSON, errors with their stack. */
export declare const log: Readonly<Record<Level, (...values: unknown[]) => void>>;
