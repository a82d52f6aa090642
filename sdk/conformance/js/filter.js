// Passes on the events whose text contains another.

import { ProducerConsumer, text } from "@forebay/sdk";

export default class Filter extends ProducerConsumer({ contains: text("") }) {
  handleEvents(delivery, events) {
    for (const event of delivery) {
      const payload = event.tryText();
      if (payload === undefined) event.reject("not UTF-8");
      else if (payload === "later") event.retry("later");
      else if (payload.includes(this.config.contains)) events.push(event);
    }
  }
}
