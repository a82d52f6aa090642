// Filter passes on the events that contain a text.
package main

import (
	"strings"

	forebay "forebay.dev/sdk"
)

// Config is what the pipeline file may say.
type Config struct {
	// Contains is the text; every text contains the empty one.
	Contains string
}

// Filter is the stage.
type Filter struct{ contains string }

func newFilter(context forebay.Context[Config]) (*Filter, error) {
	return &Filter{context.Config.Contains}, nil
}

// HandleEvents rejects what is no text, has `later` delivered again, and passes on what fits.
func (f *Filter) HandleEvents(delivery *forebay.Delivery, events *forebay.Events) error {
	for event := range delivery.Events() {
		text, err := event.Text()
		switch {
		case err != nil:
			event.Reject("not UTF-8")
		case text == "later":
			event.Retry("later")
		case strings.Contains(text, f.contains):
			events.PushEvent(event)
		}
	}
	return nil
}

func main() { forebay.RunProducerConsumer(newFilter) }
