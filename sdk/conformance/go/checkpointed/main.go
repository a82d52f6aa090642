// Checkpointed emits consecutive numbers, and goes on where an instance before it was.
package main

import (
	"fmt"
	"strconv"

	"conformance/numbers"

	forebay "forebay.dev/sdk"
)

// Checkpointed is the stage.
type Checkpointed struct{ numbers numbers.Numbers }

func newCheckpointed(context forebay.Context[numbers.Config]) (*Checkpointed, error) {
	if err := context.Config.Check(); err != nil {
		return nil, err
	}
	return &Checkpointed{numbers.From(context.Config)}, nil
}

// HandleDemand emits the next numbers.
func (c *Checkpointed) HandleDemand(demand uint32, events *forebay.Events) error {
	return c.numbers.Emit(demand, events)
}

// Snapshot is the next number as text.
func (c *Checkpointed) Snapshot() ([]byte, error) {
	return strconv.AppendInt(nil, c.numbers.Next, 10), nil
}

// Restore goes on at the number of a snapshot.
func (c *Checkpointed) Restore(snapshot []byte) error {
	next, err := strconv.ParseInt(string(snapshot), 10, 64)
	if err != nil {
		return fmt.Errorf("snapshot `%s`: expected a number", snapshot)
	}
	c.numbers.SetNext(next)
	return nil
}

// Terminate says why the stage ends.
func (c *Checkpointed) Terminate(reason string) { forebay.Infof("terminated: %s", reason) }

func main() { forebay.RunProducer(newCheckpointed) }
