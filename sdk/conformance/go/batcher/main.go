// Batcher joins several payloads into one.
package main

import (
	"bytes"
	"fmt"

	forebay "forebay.dev/sdk"
)

// Config is what the pipeline file may say.
type Config struct {
	// Size is how many payloads are joined; at least 1.
	Size int64
}

// SetDefaults is called before the pipeline file is read into the config.
func (c *Config) SetDefaults() { c.Size = 3 }

// Batcher is the stage.
type Batcher struct {
	size int64
	kept [][]byte
}

func newBatcher(context forebay.Context[Config]) (*Batcher, error) {
	size := context.Config.Size
	if size < 1 {
		return nil, fmt.Errorf("`size` is %d; expected at least 1", size)
	}
	return &Batcher{size: size}, nil
}

// HandleEvents emits the payloads kept so far, joined, each time there are enough.
func (b *Batcher) HandleEvents(delivery *forebay.Delivery, events *forebay.Events) error {
	for event := range delivery.Events() {
		b.kept = append(b.kept, bytes.Clone(event.Payload))
		if int64(len(b.kept)) == b.size {
			b.emit(events)
		}
	}
	return nil
}

// HandleTick emits the rest.
func (b *Batcher) HandleTick(events *forebay.Events) error {
	if len(b.kept) > 0 {
		b.emit(events)
	}
	return nil
}

func (b *Batcher) emit(events *forebay.Events) {
	events.Push(bytes.Join(b.kept, []byte(",")))
	clear(b.kept)
	b.kept = b.kept[:0]
}

func main() { forebay.RunProducerConsumer(newBatcher) }
