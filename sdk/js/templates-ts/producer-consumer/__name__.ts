import { type Delivery, type Events, ProducerConsumer, text } from "@forebay/sdk";

export default class __Type__ extends ProducerConsumer({ greeting: text("Hello") }) {
  /** Pushes what it makes of each event: one, several or none. */
  handleEvents(delivery: Delivery, events: Events) {
    for (const event of delivery) {
      const name = event.tryText();
      if (name === undefined) event.reject("a name is UTF-8");
      else events.push(`${this.config.greeting}, ${name}!`, { key: event.key });
    }
  }
}
