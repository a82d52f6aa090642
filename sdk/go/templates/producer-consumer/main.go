// Makes events of events: a greeting of each name.
package main

import forebay "forebay.dev/sdk"

// Config is what the pipeline file may say under `config`: `greeting`.
type Config struct {
	Greeting string
}

// SetDefaults is called before the config is read.
func (c *Config) SetDefaults() { c.Greeting = "Hello" }

// __Type__ is the stage.
type __Type__ struct {
	greeting string
}

func new__Type__(context forebay.Context[Config]) (*__Type__, error) {
	return &__Type__{greeting: context.Config.Greeting}, nil
}

// HandleEvents takes one batch and pushes what it makes of it: fewer events, as many, or more.
func (s *__Type__) HandleEvents(delivery *forebay.Delivery, events *forebay.Events) error {
	for event := range delivery.Events() {
		name, err := event.Text()
		if err != nil {
			event.Reject("a name is UTF-8")
			continue
		}
		// Topic, key and headers stay those of the event.
		events.Pushf("%s, %s!", s.greeting, name).Like(event)
	}
	return nil
}

func main() { forebay.RunProducerConsumer(new__Type__) }
