// Double emits every event several times.
package main

import (
	"fmt"

	forebay "forebay.dev/sdk"
)

const copiesMax = 1000

// Config is what the pipeline file may say.
type Config struct {
	// Copies is how often an event is emitted: 0 to 1000.
	Copies int64
}

// SetDefaults is called before the pipeline file is read into the config.
func (c *Config) SetDefaults() { c.Copies = 2 }

// Double is the stage.
type Double struct{ copies int64 }

func newDouble(context forebay.Context[Config]) (*Double, error) {
	copies := context.Config.Copies
	if copies < 0 || copies > copiesMax {
		return nil, fmt.Errorf("`copies` is %d; expected 0 to %d", copies, copiesMax)
	}
	return &Double{copies}, nil
}

// HandleEvents emits the copies of each event, in order.
func (d *Double) HandleEvents(delivery *forebay.Delivery, events *forebay.Events) error {
	for event := range delivery.Events() {
		for range d.copies {
			events.PushEvent(event)
		}
	}
	return nil
}

func main() { forebay.RunProducerConsumer(newDouble) }
