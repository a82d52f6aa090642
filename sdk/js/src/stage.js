// The three roles: what a stage's class extends.

/** Where a class keeps its role, and the fields of its config. */
export const ROLE = Symbol.for("@forebay/role");
export const FIELDS = Symbol.for("@forebay/fields");

/** A source of events. */
export const Producer = role("producer");
/** A sink of events. */
export const Consumer = role("consumer");
/** A stage that makes events of events. */
export const ProducerConsumer = role("producer-consumer");

/**
 * What works both as `extends Producer` and as `extends Producer({ start: int(0) })`.
 *
 * So it is a function: called by `super(context)` it is the constructor, called by itself it makes a class with config.
 */
function role(name) {
  function Role(contextOrFields) {
    if (new.target === undefined) return withFields(Role, contextOrFields);
    this.context = contextOrFields;
    this.config = contextOrFields.config;
  }
  Role[ROLE] = name;
  Role[FIELDS] = {};
  return Role;
}

function withFields(Role, fields = {}) {
  return class extends Role {
    static [FIELDS] = fields;
  };
}
