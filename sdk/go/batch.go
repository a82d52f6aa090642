package forebay

import (
	"errors"
	"iter"
	"sort"
	"strconv"
	"unicode/utf8"

	"forebay.dev/sdk/internal/column"
)

// Batch is any number of events: those a stage is handed from outside, or emitted under test.
//
// It holds the columns as they crossed the border, and an [Event] is a view of them, so that going
// through a batch allocates nothing. The bytes are never written again: a stage may keep them, which
// keeps the batch's whole column in memory, or copy them.
type Batch struct {
	columns    column.Batch
	runs       []column.Run
	rejections []Rejection
}

// Rejection is one event that a stage could not process.
type Rejection struct {
	// Index is the event's index in the delivered batch.
	Index uint32
	// Retry says that a later attempt may succeed. If not, the event is a dead letter at once.
	Retry bool
	// Reason is for a person.
	Reason string
}

// Delivery is events on their way into a consuming stage, with where they come from.
type Delivery struct {
	Batch
	// Source is the stage that emitted the events, by its name in the pipeline.
	Source string
	// Epoch is that of the source's claim: it rises with each new owner and each restart of the
	// source. A sink that writes to a database can refuse older writers by it.
	Epoch uint64
	// Attempt is 1 the first time these events are delivered, one more each time again.
	Attempt uint32
}

// Reject adds a rejection by index. [Event.Reject] and [Event.Retry] are the usual ways.
func (d *Delivery) Reject(rejection Rejection) {
	d.rejections = append(d.rejections, rejection)
}

// Len is how many events there are.
func (b *Batch) Len() int { return len(b.columns.Ends) }

// Events gives the events in order.
func (b *Batch) Events() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		start, run, left := uint32(0), 0, uint32(0)
		seq := uint64(0)
		for index, end := range b.columns.Ends {
			for left == 0 && run < len(b.runs) {
				seq, left = b.runs[run].First, b.runs[run].Count
				run++
			}
			// The capacity ends with the payload: appending to one event must not write the next.
			payload := b.columns.Payloads[start:end:end]
			if !yield(Event{Payload: payload, Index: index, Seq: seq, batch: b}) {
				return
			}
			start, seq, left = end, seq+1, left-1
		}
	}
}

// Texts are the payloads as texts, for a test or a log line.
func (b *Batch) Texts() []string {
	texts := make([]string, 0, b.Len())
	for event := range b.Events() {
		texts = append(texts, string(event.Payload))
	}
	return texts
}

// Event is one event of a [Batch].
type Event struct {
	// Payload is what the event says. Not to be written to: the bytes are the batch's.
	Payload []byte
	// Index is the event's place in its batch, from 0.
	Index int
	// Seq is the number the source's host gave the event. A redelivered event keeps it: source,
	// epoch and number name one event. Of events that were pushed in from outside it is the index.
	Seq   uint64
	batch *Batch
}

// Text is the payload as text; an error if it is not UTF-8.
func (e Event) Text() (string, error) {
	if !utf8.Valid(e.Payload) {
		return "", errors.New("the payload of event " + strconv.Itoa(e.Index) + " is not UTF-8")
	}
	return string(e.Payload), nil
}

// Topic is what subscriptions choose by; empty for none.
func (e Event) Topic() string {
	columns := &e.batch.columns
	if len(columns.TopicOf) == 0 {
		return ""
	}
	return columns.Topics[columns.TopicOf[e.Index]]
}

// Key is what a dispatcher partitions by; empty for none. Not to be written to.
func (e Event) Key() []byte {
	columns := &e.batch.columns
	if len(columns.KeyEnds) == 0 {
		return nil
	}
	start := uint32(0)
	if e.Index > 0 {
		start = columns.KeyEnds[e.Index-1]
	}
	end := columns.KeyEnds[e.Index]
	return columns.Keys[start:end:end]
}

// Headers gives the event's headers, name and value, in the order they were added. A name may occur
// more than once.
func (e Event) Headers() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, header := range e.headers() {
			if !yield(header.Name, header.Value) {
				return
			}
		}
	}
}

// Header is the value of the first header of this name, and whether there is one.
func (e Event) Header(name string) (string, bool) {
	for _, header := range e.headers() {
		if header.Name == name {
			return header.Value, true
		}
	}
	return "", false
}

func (e Event) headers() []column.Header {
	all := e.batch.columns.Headers
	if len(all) == 0 {
		return nil
	}
	first := sort.Search(len(all), func(i int) bool { return int(all[i].Event) >= e.Index })
	last := first
	for last < len(all) && int(all[last].Event) == e.Index {
		last++
	}
	return all[first:last]
}

// Reject tells the host that the event cannot be processed, now or later: it becomes a dead letter.
// It means nothing for events that were not delivered ([Ingest]).
func (e Event) Reject(reason string) { e.reject(false, reason) }

// Retry tells the host that the event could not be processed now: it is delivered again, later.
// It means nothing for events that were not delivered ([Ingest]).
func (e Event) Retry(reason string) { e.reject(true, reason) }

func (e Event) reject(retry bool, reason string) {
	rejection := Rejection{Index: uint32(e.Index), Retry: retry, Reason: reason}
	e.batch.rejections = append(e.batch.rejections, rejection)
}
