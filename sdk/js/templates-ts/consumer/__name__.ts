import { Consumer, type Delivery, log, text } from "@forebay/sdk";

export default class __Type__ extends Consumer({ greeting: text("Hello") }) {
  /** What is not rejected counts as processed. */
  handleEvents(delivery: Delivery) {
    for (const event of delivery) {
      const name = event.tryText();
      if (name === undefined) event.reject("a name is UTF-8");
      else log.info(`${this.config.greeting}, ${name}!`);
    }
  }
}
