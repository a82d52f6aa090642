// A consumer that does what a host must withstand.

import {
  Consumer,
  type Context,
  type DeliveredEvent,
  type Delivery,
  Fatal,
  Retry,
  StageError,
  log,
  oneOf,
} from "@forebay/sdk";

const MODES = [
  "ok",
  "retry",
  "fatal",
  "other",
  "trap",
  "spin",
  "allocate",
  "outside",
  "twice",
  "flood",
  "init",
] as const;

type Mode = (typeof MODES)[number];

export default class Misbehaver extends Consumer({ mode: oneOf(MODES, "ok") }) {
  constructor(context: Context<{ mode: Mode }>) {
    super(context);
    if (this.config.mode === "init") throw new StageError("told to fail");
  }

  handleEvents(delivery: Delivery) {
    for (const event of delivery) {
      const text = new TextDecoder().decode(event.payload);
      log.info(text);
      if (text === "no") event.reject("no");
      if (text === "go") misbehave(this.config.mode, delivery, event);
    }
  }
}

function misbehave(mode: Mode, delivery: Delivery, event: DeliveredEvent) {
  switch (mode) {
    case "retry":
      throw new Retry("told to");
    case "fatal":
      throw new Fatal("told to");
    case "other":
      throw new StageError("told to");
    case "trap":
      throw new Error("told to trap");
    case "spin":
      for (;;);
    case "allocate":
      return allocate();
    case "outside":
      return delivery.reject(4294967295, "outside");
    case "twice":
      event.reject("twice");
      return event.reject("twice");
    case "flood":
      for (let line = 0; line < 10_000; line++) log.info("flood", line);
  }
}

/** Takes memory and touches it until there is no more. */
function allocate(): never {
  const kept = [];
  for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
}
