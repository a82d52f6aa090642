// What a stage imports: `import { Producer, int, log } from "@forebay/sdk"`.

export { Batch, Event } from "./batch.js";
export { bool, int, list, number, oneOf, optional, table, text } from "./config.js";
export { DeliveredEvent, Delivery } from "./delivery.js";
export { ask } from "./demand.js";
export { Fatal, Retry, StageError } from "./errors.js";
export { Events } from "./events.js";
export { log } from "./log.js";
export { Message } from "./message.js";
export { Consumer, Producer, ProducerConsumer } from "./stage.js";
