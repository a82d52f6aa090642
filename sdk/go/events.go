package forebay

import (
	"fmt"
	"math"

	"forebay.dev/sdk/internal/column"
)

// Events is what a call emits. Payloads and keys are copied as they are pushed.
//
// An Events is good for the call it is handed to; its memory is used again by the next.
type Events struct {
	columns column.Batch
	// numberOf has the index of each topic in columns.Topics.
	numberOf map[string]uint16
}

// Len is how many events were pushed so far.
func (e *Events) Len() int { return len(e.columns.Ends) }

// Push adds an event with this payload. What is returned sets its topic, key and headers.
func (e *Events) Push(payload []byte) Pushed {
	e.columns.Payloads = append(e.columns.Payloads, payload...)
	return e.endEvent()
}

// PushText adds an event with this text as its payload.
func (e *Events) PushText(payload string) Pushed {
	e.columns.Payloads = append(e.columns.Payloads, payload...)
	return e.endEvent()
}

// Pushf adds an event whose payload is formatted as by [fmt.Sprintf].
func (e *Events) Pushf(format string, args ...any) Pushed {
	e.columns.Payloads = fmt.Appendf(e.columns.Payloads, format, args...)
	return e.endEvent()
}

// PushAppend adds an event whose payload is what grow appends to the slice it is given: the quickest
// way to write a payload in place, as with the Append functions of strconv.
func (e *Events) PushAppend(grow func(payload []byte) []byte) Pushed {
	start := len(e.columns.Payloads)
	grown := grow(e.columns.Payloads)
	if len(grown) < start {
		panic(fmt.Sprintf("PushAppend was given %d bytes and returned %d; it must append only", start, len(grown)))
	}
	e.columns.Payloads = grown
	return e.endEvent()
}

// PushEvent adds an event with the payload, topic, key and headers of one that was delivered.
func (e *Events) PushEvent(event Event) Pushed { return e.Push(event.Payload).Like(event) }

func (e *Events) endEvent() Pushed {
	e.columns.Ends = append(e.columns.Ends, endOf(e.columns.Payloads))
	return Pushed{e}
}

// The columns of topics and keys may be behind the events: they are filled when the next topic or key
// is set, and at the end. So they stay empty for events that have none.

func (e *Events) fillTopics(events int) {
	if len(e.columns.TopicOf) < events {
		none := e.topicNumber("")
		for len(e.columns.TopicOf) < events {
			e.columns.TopicOf = append(e.columns.TopicOf, none)
		}
	}
}

func (e *Events) fillKeys(events int) {
	end := endOf(e.columns.Keys)
	for len(e.columns.KeyEnds) < events {
		e.columns.KeyEnds = append(e.columns.KeyEnds, end)
	}
}

func (e *Events) topicNumber(topic string) uint16 {
	// Neighbours mostly share their topic, which spares looking it up.
	if last := len(e.columns.TopicOf) - 1; last >= 0 && e.columns.Topics[e.columns.TopicOf[last]] == topic {
		return e.columns.TopicOf[last]
	}
	if known, found := e.numberOf[topic]; found {
		return known
	}
	number := len(e.columns.Topics)
	if number > math.MaxUint16 {
		panic("65,536 different topics are the most one batch can hold; emit smaller batches")
	}
	if e.numberOf == nil {
		e.numberOf = make(map[string]uint16)
	}
	e.columns.Topics = append(e.columns.Topics, topic)
	e.numberOf[topic] = uint16(number)
	return uint16(number)
}

// finish fills the columns that are behind, and gives all of them.
func (e *Events) finish() *column.Batch {
	if len(e.columns.TopicOf) > 0 {
		e.fillTopics(e.Len())
	}
	if len(e.columns.KeyEnds) > 0 {
		e.fillKeys(e.Len())
	}
	return &e.columns
}

// reset empties e and keeps its memory, unless one column takes more than keptBytesMax.
func (e *Events) reset() {
	c := &e.columns
	clear(c.Topics)
	clear(c.Headers)
	clear(e.numberOf)
	*c = column.Batch{
		Payloads: emptied(c.Payloads, 1),
		Ends:     emptied(c.Ends, 4),
		Topics:   emptied(c.Topics, 16),
		TopicOf:  emptied(c.TopicOf, 2),
		Keys:     emptied(c.Keys, 1),
		KeyEnds:  emptied(c.KeyEnds, 4),
		Headers:  emptied(c.Headers, 40),
	}
}

// keptBytesMax is how much of one column's memory is kept for the next call: 4 MiB, a sixteenth of the
// memory a stage may have by default, so that one big batch does not weigh on an instance for ever.
const keptBytesMax = 4 << 20

func emptied[T any](items []T, itemBytes int) []T {
	if cap(items)*itemBytes > keptBytesMax {
		return nil
	}
	return items[:0]
}

// Pushed is the event that was pushed last, to be given a topic, key and headers.
type Pushed struct{ events *Events }

// Topic sets the topic: what subscriptions choose by. The empty topic means none. It panics at the
// 65,537th different topic of one batch.
func (p Pushed) Topic(topic string) Pushed {
	e := p.events
	if topic == "" && len(e.columns.TopicOf) == 0 {
		return p
	}
	last := e.Len() - 1
	e.fillTopics(last)
	number := e.topicNumber(topic)
	e.columns.TopicOf = append(e.columns.TopicOf[:last], number)
	return p
}

// Key sets the key: events of one key go to the same consumer when the dispatcher partitions by it.
func (p Pushed) Key(key []byte) Pushed {
	c := &p.events.columns
	last := p.events.Len() - 1
	p.events.fillKeys(last)
	start := uint32(0)
	if last > 0 {
		start = c.KeyEnds[last-1]
	}
	c.Keys = append(c.Keys[:start], key...)
	c.KeyEnds = append(c.KeyEnds[:last], endOf(c.Keys))
	return p
}

// KeyText sets the key to a text.
func (p Pushed) KeyText(key string) Pushed { return p.Key([]byte(key)) }

// Header adds a header. The same name may be added more than once.
func (p Pushed) Header(name, value string) Pushed {
	header := column.Header{Event: uint32(p.events.Len() - 1), Name: name, Value: value}
	p.events.columns.Headers = append(p.events.columns.Headers, header)
	return p
}

// Like gives the event the topic, key and headers of one that was delivered: for a new payload in an
// old envelope.
func (p Pushed) Like(event Event) Pushed {
	from := &event.batch.columns
	if len(from.TopicOf) > 0 {
		p.Topic(from.Topics[from.TopicOf[event.Index]])
	}
	if len(from.KeyEnds) > 0 {
		p.Key(event.Key())
	}
	for _, header := range event.headers() {
		p.Header(header.Name, header.Value)
	}
	return p
}

// endOf is where the next event begins. The 4 GiB it can name are all the memory of a component.
func endOf(bytes []byte) uint32 {
	return uint32(len(bytes))
}
