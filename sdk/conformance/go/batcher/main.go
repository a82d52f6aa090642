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
	Size uint32
	// Ask is the source that is asked for as many events as are joined; nil for none.
	Ask *string
}

// SetDefaults is called before the pipeline file is read into the config.
func (c *Config) SetDefaults() { c.Size = 3 }

// Batcher is the stage.
type Batcher struct {
	size   uint32
	source *string
	kept   [][]byte
}

func newBatcher(context forebay.Context[Config]) (*Batcher, error) {
	size := context.Config.Size
	if size < 1 {
		return nil, fmt.Errorf("`size` is %d; expected at least 1", size)
	}
	batcher := &Batcher{size: size, source: context.Config.Ask}
	return batcher, batcher.ask(size)
}

// HandleEvents emits the payloads kept so far, joined, each time there are enough.
func (b *Batcher) HandleEvents(delivery *forebay.Delivery, events *forebay.Events) error {
	for event := range delivery.Events() {
		b.kept = append(b.kept, bytes.Clone(event.Payload))
		if uint32(len(b.kept)) == b.size {
			if err := b.emit(events); err != nil {
				return err
			}
		}
	}
	return nil
}

// HandleTick emits the rest.
func (b *Batcher) HandleTick(events *forebay.Events) error {
	if len(b.kept) == 0 {
		return nil
	}
	return b.emit(events)
}

func (b *Batcher) emit(events *forebay.Events) error {
	count := uint32(len(b.kept))
	events.Push(bytes.Join(b.kept, []byte(",")))
	clear(b.kept)
	b.kept = b.kept[:0]
	return b.ask(count)
}

func (b *Batcher) ask(count uint32) error {
	if b.source == nil {
		return nil
	}
	return forebay.Ask(*b.source, count)
}

func main() { forebay.RunProducerConsumer(newBatcher) }
