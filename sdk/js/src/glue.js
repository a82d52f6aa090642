// What stands between an engine and a stage: the interfaces of the WIT, made of the stage's class.
//
// The entry that `forebay build` writes imports this first, then the author's module.

import { takeRandomFrom } from "./polyfill.js";
import { Adapter } from "./adapter.js";
import { problemsOf } from "./check.js";
import { replaceAsk } from "./demand.js";
import { Fatal, StageError } from "./errors.js";
import { log, replaceSink } from "./log.js";
import { printableError } from "./stack.js";

/** Stands before what is wrong with a stage, so that the build tool finds it in what an engine says. */
const MARK = "forebay:";

/**
 * The interfaces of a stage, by name.
 *
 * `host` is `{ log(level, message), ask(source, count), randomBytes(length) }`; the second where forebay.toml lists
 * "demand", the last where the engine's own numbers are not random.
 * Throws if the module is not the stage that the manifest says.
 */
export function expose(author, manifest, host) {
  const problems = problemsOf(author, manifest);
  if (problems.length > 0) {
    throw new Error(problems.map((problem) => `${MARK} ${problem}`).join("\n"));
  }
  const adapter = new Adapter(author.default);
  const lifecycle = {
    init: guarded((context) => {
      replaceSink(host.log);
      replaceAsk(host.ask ? asking(host.ask) : notListed(manifest));
      if (host.randomBytes) takeRandomFrom(host.randomBytes);
      adapter.init(context);
    }, asText),
  };
  return { lifecycle, ...interfacesOf(adapter) };
}

/** The host's `ask`. Its error is a text, which engines wrap in different ways. */
function asking(ask) {
  return (source, count) => {
    try {
      // The 32 bits as componentize-qjs takes them; see `wrapped`.
      ask(source, count | 0);
    } catch (error) {
      throw new Fatal(String(error?.payload ?? error?.message ?? error));
    }
  };
}

function notListed({ stage }) {
  return (source) => {
    throw new Fatal(
      `\`${source}\` cannot be asked; add "demand" to \`optional\` of [stages.${stage}] in forebay.toml, and build again`,
    );
  };
}

function interfacesOf(adapter) {
  return {
    produce: { handleDemand: guarded((demand) => adapter.demand(demand), asVariant) },
    consume: { handleEvents: guarded((delivery) => wrapped(adapter.consume(delivery)), asVariant) },
    transform: { handleEvents: guarded((delivery) => transformed(adapter, delivery), asVariant) },
    checkpoint: {
      snapshot: guarded(() => adapter.snapshot(), asText),
      restore: guarded((snapshot) => adapter.restore(snapshot), asText),
    },
    timer: { handleTick: guarded(() => adapter.tick(), asVariant) },
    ingest: { handleIngest: guarded((events) => adapter.ingest(events), asVariant) },
    call: { handleCall: guarded((request) => adapter.call(request), asText) },
    terminate: { terminate: guarded((reason) => adapter.terminate(reason)) },
  };
}

function transformed(adapter, delivery) {
  const { events, rejections } = adapter.transform(delivery);
  return { events, rejections: wrapped(rejections) };
}

/**
 * With indices as the 32 bits they are sent as: componentize-qjs 0.4.5 makes 2^31 - 1 of a larger number, and the host
 * would refuse another index than the author's.
 */
function wrapped(rejections) {
  return rejections.map(({ index, retry, reason }) => ({ index: index | 0, retry, reason }));
}

/** An error of ours becomes the call's; anything else is logged, and thrown on, which makes the engine trap. */
function guarded(call, asError) {
  return (given) => {
    try {
      return call(given);
    } catch (error) {
      if (asError && error instanceof StageError) throw asError(error);
      log.error("uncaught", error instanceof Error ? printableError(error) : error);
      throw error;
    }
  };
}

function asText(error) {
  return error.message;
}

function asVariant(error) {
  return { tag: error.tag, val: error.message };
}
