// Passes every event on, several times.

import { ProducerConsumer, int } from "@forebay/sdk";

export default class Double extends ProducerConsumer({ copies: int(2, { min: 0, max: 1000 }) }) {
  handleEvents(delivery, events) {
    for (const event of delivery) {
      for (let copy = 0; copy < this.config.copies; copy++) events.push(event);
    }
  }
}
