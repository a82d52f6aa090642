// A producer of consecutive numbers, into which events can be pushed and whose next number can be set.

import { Producer, StageError } from "@forebay/sdk";

import { Numbers, fields } from "./numbers.js";

export default class Counter extends Producer(fields) {
  #numbers = new Numbers(this.config);

  handleDemand(demand, events) {
    this.#numbers.emit(demand, events);
  }

  handleIngest(batch, events) {
    for (const event of batch) events.push(event, { topic: "ingested" });
  }

  handleCall(request) {
    const next = nextOf(request);
    if (next !== undefined) this.#numbers.next = next;
    return JSON.stringify({ next: this.#numbers.next });
  }
}

/** The number of `{"set": N}`, `undefined` for `{}`. */
function nextOf(request) {
  const found = tableOf(request);
  if (Object.keys(found).length === 0) return undefined;
  if (Object.keys(found).join() === "set" && Number.isSafeInteger(found.set)) return found.set;
  throw unknown(request);
}

function tableOf(request) {
  try {
    const found = request.json();
    if (typeof found === "object" && found !== null && !Array.isArray(found)) return found;
  } catch {
    // No JSON: as unknown as any other.
  }
  throw unknown(request);
}

function unknown(request) {
  return new StageError(`unknown request: ${new TextDecoder().decode(request.bytes)}`);
}
