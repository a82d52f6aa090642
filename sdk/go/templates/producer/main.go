// A source of events: greetings, one after the other.
package main

import forebay "forebay.dev/sdk"

// Config is what the pipeline file may say under `config`: `greeting` and `count`.
type Config struct {
	Greeting string
	// Count is how many greetings there are in all.
	Count uint64
}

// SetDefaults is called before the config is read.
func (c *Config) SetDefaults() { c.Greeting, c.Count = "Hello", 10 }

// __Type__ is the stage.
type __Type__ struct {
	config Config
	next   uint64
}

func new__Type__(context forebay.Context[Config]) (*__Type__, error) {
	return &__Type__{config: context.Config, next: 1}, nil
}

// HandleDemand emits up to demand events; fewer are fine.
func (s *__Type__) HandleDemand(demand uint32, events *forebay.Events) error {
	for ; demand > 0 && s.next <= s.config.Count; demand-- {
		events.Pushf("%s number %d", s.config.Greeting, s.next)
		s.next++
	}
	return nil
}

func main() { forebay.RunProducer(new__Type__) }
