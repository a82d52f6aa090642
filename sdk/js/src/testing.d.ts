/** Runs a stage under `node --test`: no WebAssembly, no host. */

import type {
  Batch,
  ConsumerStage,
  Context,
  Data,
  Delivery,
  Event,
  EventOptions,
  Level,
  ProducerConsumerStage,
  ProducerStage,
  Rejection,
  Stage,
} from "./index.js";

/** The context a stage is started with. */
export interface Setup {
  /** As in the pipeline file; `null`, the default, is a file without one. */
  readonly config?: unknown;
  /** Default "pipeline". */
  readonly pipeline?: string;
  /** Default "stage". */
  readonly stage?: string;
  /** Default "node". */
  readonly node?: string;
  /** Default 0. */
  readonly instance?: number;
  /** Default none. */
  readonly attributes?: Readonly<Record<string, string>>;
}

/** An event of a test: a payload, a payload with more, or one that came out of a stage. */
export type Given = Data | Event | ({ readonly payload: Data } & EventOptions);

/** One line a stage logged. */
export interface LogLine {
  readonly level: Level;
  readonly message: string;
}

/** One call of `ask`. */
export interface Asked {
  readonly source: string;
  readonly count: number;
}

/**
 * A started stage, and the calls a host makes. Each passes on what the stage throws, and throws an Error for what a host
 * refuses: more events than were asked for, a rejection outside of the batch or twice.
 */
export interface Harness<S> {
  /** The stage itself, to look at its state. */
  readonly stage: S;
  /** The lines logged since the start or the last call of this function. */
  takeLogs(): LogLine[];
  /**
   * What the stage asked its sources for since the start or the last call of this function, in order. What a call asked
   * for that failed is not there: a host lets go of it too.
   */
  takeAsks(): Asked[];
  /** Producers: asks for up to `demand` events. */
  demand: S extends ProducerStage<any> ? (demand: number) => Batch : never;
  /** Producers with `handleIngest`: pushes events in from outside. */
  ingest: S extends ProducerStage<any> ? (events: Iterable<Given>) => Batch : never;
  /** Consumers: hands over one batch. */
  deliver: S extends ConsumerStage<any> ? (events: Delivery | Iterable<Given>) => Rejection[] : never;
  /** Producer-consumers: hands over one batch and gives what the stage makes of it. */
  transform: S extends ProducerConsumerStage<any>
    ? (events: Delivery | Iterable<Given>) => { events: Batch; rejections: Rejection[] }
    : never;
  /** Says that the `tick` interval has passed. */
  tick(): Batch;
  /** Asks the stage something; gives the bytes it answers. */
  call(request: Data): Uint8Array;
  snapshot(): Uint8Array;
  restore(snapshot: Data): void;
  /** Ends the stage in good order; gives what it logged. */
  terminate(reason: string): LogLine[];
}

/** Starts a stage; throws what its constructor throws, and a StageError for a config that is wrong. */
export function start<S extends Stage<any>>(stage: new (context: Context<any>) => S, setup?: Setup): Harness<S>;

/** A delivery of these events; unless said otherwise the first of `source`: epoch 1, attempt 1, numbers from 0. */
export function delivery(
  events: Iterable<Given>,
  from?: { source?: string; epoch?: number; attempt?: number; seq?: number },
): Delivery;

/** A batch of these events, as one comes in from outside. */
export function batch(events: Iterable<Given>): Batch;
