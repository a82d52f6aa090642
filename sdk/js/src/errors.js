// The errors a stage throws on purpose. Everything else that is thrown is a bug: it is logged and ends the instance.

/** The call failed; the host ends this instance and applies the restart policy. */
export class StageError extends Error {
  /** The case of the WIT variant `stage-error`. */
  get tag() {
    return "other";
  }

  get name() {
    return "StageError";
  }
}

/** A passing trouble: the host makes the call again, later. */
export class Retry extends StageError {
  get tag() {
    return "retry";
  }

  get name() {
    return "Retry";
  }
}

/** The stage cannot go on: the host ends this instance and applies the restart policy. */
export class Fatal extends StageError {
  get tag() {
    return "fatal";
  }

  get name() {
    return "Fatal";
  }
}
