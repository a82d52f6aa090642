import { Producer, int, text } from "@forebay/sdk";

const config = {
  greeting: text("Hello"),
  // How many greetings there are in all.
  count: int(10, { min: 0 }),
};

export default class __Type__ extends Producer(config) {
  #next = 1;

  /** Emits up to `demand` events; fewer are fine. */
  handleDemand(demand, events) {
    const { greeting, count } = this.config;
    for (; demand > 0 && this.#next <= count; demand--) {
      events.push(`${greeting} number ${this.#next}`, { key: String(this.#next) });
      this.#next++;
    }
  }
}
