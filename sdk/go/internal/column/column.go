// Package column holds events the way they cross the border between host and stage: one list per
// field rather than one record per event. See `batch` in Forebay's stage.wit.
package column

import (
	"fmt"
	"slices"
)

// Batch is any number of events. Event i has the payload Payloads[Ends[i-1]:Ends[i]].
type Batch struct {
	Payloads []byte
	Ends     []uint32
	// Topics has each topic once. Empty when no event has one.
	Topics []string
	// TopicOf has the index of each event's topic; empty exactly when Topics is.
	TopicOf []uint16
	Keys    []byte
	// KeyEnds is empty when no event has a key.
	KeyEnds []uint32
	// Headers are sparse, by rising index of their event.
	Headers []Header
}

// Header is one header of one event.
type Header struct {
	Event       uint32
	Name, Value string
}

// Run is a number of events with consecutive numbers.
type Run struct {
	First uint64
	Count uint32
}

// Check refuses what a host refuses: columns that contradict each other. The error names the column.
func (b *Batch) Check() error {
	events := len(b.Ends)
	if err := checkEnds("ends", b.Ends, len(b.Payloads), events); err != nil {
		return err
	}
	if len(b.KeyEnds) > 0 || len(b.Keys) > 0 {
		if err := checkEnds("key-ends", b.KeyEnds, len(b.Keys), events); err != nil {
			return err
		}
	}
	return b.checkNames(events)
}

func (b *Batch) checkNames(events int) error {
	wanted := events
	if len(b.Topics) == 0 {
		wanted = 0
	}
	if len(b.TopicOf) != wanted {
		return fmt.Errorf("column `topic-of` has %d entries for %d topics and %d events", len(b.TopicOf), len(b.Topics), events)
	}
	for _, topic := range b.TopicOf {
		if int(topic) >= len(b.Topics) {
			return fmt.Errorf("column `topic-of` names topic %d of %d", topic, len(b.Topics))
		}
	}
	byEvent := func(a, b Header) int { return int(int64(a.Event) - int64(b.Event)) }
	if !slices.IsSortedFunc(b.Headers, byEvent) {
		return fmt.Errorf("column `headers` is not in the order of the events: %v", b.Headers)
	}
	if last := len(b.Headers) - 1; last >= 0 && int(b.Headers[last].Event) >= events {
		return fmt.Errorf("column `headers` names event %d of %d", b.Headers[last].Event, events)
	}
	return nil
}

func checkEnds(column string, ends []uint32, bytes, events int) error {
	if len(ends) != events {
		return fmt.Errorf("column `%s` has %d entries for %d events", column, len(ends), events)
	}
	if !slices.IsSorted(ends) {
		return fmt.Errorf("column `%s` falls: %v", column, ends)
	}
	last := 0
	if events > 0 {
		last = int(ends[events-1])
	}
	if last != bytes {
		return fmt.Errorf("the last of column `%s` is %d, but there are %d bytes", column, last, bytes)
	}
	return nil
}
