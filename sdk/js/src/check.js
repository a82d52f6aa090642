// Whether a class is the stage that forebay.toml says it is.

import { ROLE } from "./stage.js";

/** What a host calls, by interface. */
const ROLES = {
  producer: { base: "Producer", methods: ["handleDemand"] },
  consumer: { base: "Consumer", methods: ["handleEvents"] },
  "producer-consumer": { base: "ProducerConsumer", methods: ["handleEvents"] },
};
const OPTIONAL = {
  checkpoint: ["snapshot", "restore"],
  timer: ["handleTick"],
  ingest: ["handleIngest"],
  call: ["handleCall"],
  terminate: ["terminate"],
  // Imported, and called by the stage.
  demand: [],
};
const PARAMETERS = {
  handleDemand: "demand, events",
  handleEvents: "delivery",
  snapshot: "",
  restore: "snapshot",
  handleTick: "events",
  handleIngest: "batch, events",
  handleCall: "request",
  terminate: "reason",
};

/** The role of a stage's class, or `undefined` for what is none. */
export function roleOf(Stage) {
  return typeof Stage === "function" ? Stage[ROLE] : undefined;
}

/** Whether a class has what an optional interface calls. */
export function has(Stage, interfaceName) {
  return OPTIONAL[interfaceName].every((method) => typeof Stage.prototype[method] === "function");
}

/**
 * What is wrong with the module of a stage, each for a person; empty if nothing is.
 *
 * `manifest` is what forebay.toml says: `{ stage, role, optional }`.
 */
export function problemsOf(author, manifest) {
  const Stage = author.default;
  const { base } = ROLES[manifest.role];
  if (Stage === undefined) {
    return [`it has no default export; expected \`export default class ... extends ${base}\``];
  }
  const role = roleOf(Stage);
  if (role === undefined) {
    return [`its default export is no stage; expected \`export default class ... extends ${base}\``];
  }
  if (role !== manifest.role) {
    const there = `class ${Stage.name} extends ${ROLES[role].base}`;
    return [
      `${there}, but forebay.toml says role = "${manifest.role}" of [stages.${manifest.stage}]; change one of them`,
    ];
  }
  const expected = [...ROLES[role].methods, ...manifest.optional.flatMap((name) => OPTIONAL[name])];
  return [
    ...expected.flatMap((method) => problemOf(Stage, method, manifest)),
    ...Object.keys(OPTIONAL).flatMap((name) => problemOfOptional(Stage, name, manifest)),
  ];
}

function problemOf(Stage, method, { role, optional }) {
  const there = Stage.prototype[method];
  if (typeof there === "function") {
    return there.constructor.name === "AsyncFunction"
      ? [`\`${method}\` of class ${Stage.name} is async; a host waits for no promise: make it synchronous`]
      : [];
  }
  const cause = optional.find((name) => OPTIONAL[name].includes(method));
  const why = cause ? `which \`optional\` in forebay.toml asks for by "${cause}"` : `which a ${role} needs`;
  return [`class ${Stage.name} has no method \`${method}(${PARAMETERS[method]})\`, ${why}`];
}

function problemOfOptional(Stage, name, { stage, optional }) {
  const methods = OPTIONAL[name].filter((method) => typeof Stage.prototype[method] === "function");
  if (optional.includes(name) || methods.length === 0) return [];
  const listed = methods.map((method) => `\`${method}\``).join(" and ");
  return [
    `class ${Stage.name} has ${listed}, which nobody would call; add "${name}" to \`optional\` of [stages.${stage}] in forebay.toml`,
  ];
}
