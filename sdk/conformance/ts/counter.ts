// A producer of consecutive numbers, into which events can be pushed and whose next number can be set.

import { type Batch, type Events, type Message, Producer, StageError } from "@forebay/sdk";

import { Numbers, fields } from "./numbers.ts";

export default class Counter extends Producer(fields) {
  #numbers = new Numbers(this.config);

  handleDemand(demand: number, events: Events) {
    this.#numbers.emit(demand, events);
  }

  override handleIngest(batch: Batch, events: Events) {
    for (const event of batch) events.push(event, { topic: "ingested" });
  }

  override handleCall(request: Message) {
    const next = nextOf(request);
    if (next !== undefined) this.#numbers.next = next;
    return JSON.stringify({ next: this.#numbers.next });
  }
}

/** The number of `{"set": N}`, `undefined` for `{}`. */
function nextOf(request: Message): number | undefined {
  const found = tableOf(request);
  if (Object.keys(found).length === 0) return undefined;
  if (Object.keys(found).join() === "set" && Number.isSafeInteger(found.set)) return Number(found.set);
  throw unknown(request);
}

function tableOf(request: Message): Record<string, unknown> {
  try {
    const found = request.json();
    if (typeof found === "object" && found !== null && !Array.isArray(found)) return { ...found };
  } catch {
    // No JSON: as unknown as any other.
  }
  throw unknown(request);
}

function unknown(request: Message) {
  return new StageError(`unknown request: ${new TextDecoder().decode(request.bytes)}`);
}
