package forebay

// What a stage implements: the interface of its role, and any of the optional ones.

// Producer is a source of events.
type Producer interface {
	// HandleDemand adds up to demand events; demand is at least 1.
	//
	// Adding fewer, or none, is fine: the host remembers what was left open and asks again when the
	// stage's `poll` interval has passed. Adding more is an error, and the host takes none of them.
	// Events added before an error is returned are dropped. Errors: see [Retry].
	HandleDemand(demand uint32, events *Events) error
}

// Consumer is a sink of events.
type Consumer interface {
	// HandleEvents takes one batch. The host acknowledges it to the source after the return, so
	// whatever must outlive a crash has to be written by then.
	//
	// Single events that could not be processed: [Event.Reject] and [Event.Retry]. With an error
	// nothing of the batch counts as processed. Errors: see [Retry].
	HandleEvents(delivery *Delivery) error
}

// ProducerConsumer is a stage that makes events of events.
type ProducerConsumer interface {
	// HandleEvents takes one batch and adds what it makes of it: fewer events, as many, or more.
	//
	// Single events that could not be processed: [Event.Reject] and [Event.Retry]. With an error
	// nothing of the batch counts as processed and events are dropped. Errors: see [Retry].
	HandleEvents(delivery *Delivery, events *Events) error
}

// Checkpoint is optional ("checkpoint" in forebay.toml): a stage whose state can move to another node.
type Checkpoint interface {
	// Snapshot gives the whole state after the last call, to be handed to Restore of a later
	// instance. After an error the host keeps the snapshot before.
	Snapshot() ([]byte, error)
	// Restore takes over what Snapshot gave. It is called right after the constructor; an error
	// stops the start.
	Restore(snapshot []byte) error
}

// Timer is optional ("timer" in forebay.toml): a stage that acts by the clock.
type Timer interface {
	// HandleTick is called each time the stage's `tick` interval has passed. A consumer adds no
	// events. Errors: see [Retry].
	HandleTick(events *Events) error
}

// Ingest is optional ("ingest" in forebay.toml): a producer into which events can be pushed.
type Ingest interface {
	// HandleIngest takes events from outside; what is added to events is emitted in their place.
	// Errors: see [Retry].
	HandleIngest(incoming *Batch, events *Events) error
}

// Call is optional ("call" in forebay.toml): a stage that answers questions.
type Call interface {
	// HandleCall answers one request; an error is for whoever asked. Both sides agree on the bytes;
	// `forebay call` sends JSON, which [DecodeJSON] reads.
	HandleCall(request []byte) ([]byte, error)
}

// Terminate is optional ("terminate" in forebay.toml): a stage that wants to know of its end.
type Terminate interface {
	// Terminate is the last call of an instance that ends in good order; not made after a panic.
	Terminate(reason string)
}
