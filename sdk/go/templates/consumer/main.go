// A sink of events: greets each name it gets.
package main

import (
	"fmt"
	"io"
	"os"

	forebay "forebay.dev/sdk"
)

// Config is what the pipeline file may say under `config`: `greeting`.
type Config struct {
	Greeting string
}

// SetDefaults is called before the config is read.
func (c *Config) SetDefaults() { c.Greeting = "Hello" }

// __Type__ is the stage.
type __Type__ struct {
	greeting string
	out      io.Writer
}

func new__Type__(context forebay.Context[Config]) (*__Type__, error) {
	return &__Type__{greeting: context.Config.Greeting, out: os.Stdout}, nil
}

// HandleEvents takes one batch. It counts as processed when this returns, except for what is rejected.
func (s *__Type__) HandleEvents(delivery *forebay.Delivery) error {
	for event := range delivery.Events() {
		name, err := event.Text()
		if err != nil {
			event.Reject("a name is UTF-8")
			continue
		}
		if _, err := fmt.Fprintf(s.out, "%s, %s!\n", s.greeting, name); err != nil {
			return forebay.Retry(err)
		}
	}
	return nil
}

func main() { forebay.RunConsumer(new__Type__) }
