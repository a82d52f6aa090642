package forebaytest

import (
	forebay "forebay.dev/sdk"
	"forebay.dev/sdk/internal/column"
)

// Texts is a delivery of these payloads, as the first of a source: epoch 1, attempt 1, numbers from 0.
// Topics, keys and other numbers: [Source.Send].
func Texts(payloads ...string) *forebay.Delivery {
	source := Source{Name: "source", Epoch: 1, Attempt: 1}
	return source.Send(func(events *forebay.Events) {
		for _, payload := range payloads {
			events.PushText(payload)
		}
	})
}

// Source is where deliveries come from: it numbers events as the source's host does.
type Source struct {
	Name string
	// Epoch is that of the source's claim.
	Epoch uint64
	// Attempt is which one the next delivery is.
	Attempt uint32
	// NextSeq is the number of the next event.
	NextSeq uint64
}

// Send makes a delivery of the events that fill adds.
func (s *Source) Send(fill func(events *forebay.Events)) *forebay.Delivery {
	var events forebay.Events
	fill(&events)
	run := column.Run{First: s.NextSeq, Count: uint32(events.Len())}
	s.NextSeq += uint64(run.Count)
	delivery := forebay.NewDelivery(*forebay.Finish(&events), []column.Run{run})
	delivery.Source, delivery.Epoch, delivery.Attempt = s.Name, s.Epoch, s.Attempt
	return delivery
}
