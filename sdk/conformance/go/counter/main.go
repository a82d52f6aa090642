// Counter emits consecutive numbers, passes on what is pushed into it, and answers questions.
package main

import (
	"bytes"
	"errors"
	"fmt"

	"conformance/numbers"

	forebay "forebay.dev/sdk"
)

// Counter is the stage.
type Counter struct{ numbers numbers.Numbers }

func newCounter(context forebay.Context[numbers.Config]) (*Counter, error) {
	if err := context.Config.Check(); err != nil {
		return nil, err
	}
	return &Counter{numbers.From(context.Config)}, nil
}

// HandleDemand emits the next numbers.
func (c *Counter) HandleDemand(demand uint32, events *forebay.Events) error {
	return c.numbers.Emit(demand, events)
}

// HandleIngest emits events as they came, under the topic `ingested`.
func (c *Counter) HandleIngest(incoming *forebay.Batch, events *forebay.Events) error {
	for event := range incoming.Events() {
		events.PushEvent(event).Topic("ingested")
	}
	return nil
}

// HandleCall answers {"set": N} and {} with the next number.
func (c *Counter) HandleCall(request []byte) ([]byte, error) {
	var asked struct{ Set *int64 }
	if err := forebay.DecodeJSON(request, &asked); err != nil {
		return nil, errors.New("unknown request: " + string(request))
	}
	switch {
	case asked.Set != nil:
		c.numbers.SetNext(*asked.Set)
	case string(bytes.Join(bytes.Fields(request), nil)) != "{}":
		// {"set":null} is read as {}.
		return nil, errors.New("unknown request: " + string(request))
	}
	return fmt.Appendf(nil, `{"next":%d}`, c.numbers.Next), nil
}

func main() { forebay.RunProducer(newCounter) }
