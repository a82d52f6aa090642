// Consecutive numbers as events: what `counter` and `checkpointed` have in common.

import { type ConfigOf, type Events, StageError, int, optional } from "@forebay/sdk";

/** Payloads are padded to at most this; unit: bytes. */
const PAYLOAD_BYTES_MAX = 16 << 20;

export const fields = {
  start: int(0),
  step: int(1),
  limit: optional(int(undefined, { min: 0 })),
  payload_bytes: optional(int(undefined, { min: 1, max: PAYLOAD_BYTES_MAX })),
};

type Config = ConfigOf<typeof fields>;

export class Numbers {
  readonly #config: Config;
  next: number;

  constructor(config: Config) {
    if (config.step === 0) throw new StageError("`step` is 0; expected a number to add, as 1 or -1");
    this.#config = config;
    this.next = config.start;
  }

  /** Emits the next `demand` numbers, or what the limit leaves of them. */
  emit(demand: number, events: Events): void {
    const { step, payload_bytes: bytes = 0 } = this.#config;
    for (let left = Math.min(demand, this.#left()); left > 0; left--) {
      events.push(String(this.next).padStart(bytes, "0"));
      this.next += step;
    }
  }

  #left(): number {
    const { start, step, limit = Infinity } = this.#config;
    return limit - Math.trunc((this.next - start) / step);
  }
}
