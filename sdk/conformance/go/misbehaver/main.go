// Misbehaver does, when told to, what a stage must not do.
package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	forebay "forebay.dev/sdk"
)

var modes = []string{"ok", "init", "retry", "fatal", "other", "trap", "spin", "allocate", "outside", "twice", "flood"}

const floodLines = 10_000

// Config is what the pipeline file may say.
type Config struct {
	// Mode is what to do at a payload `go`, or when the stage starts.
	Mode string
}

// SetDefaults is called before the pipeline file is read into the config.
func (c *Config) SetDefaults() { c.Mode = "ok" }

// Misbehaver is the stage.
type Misbehaver struct {
	mode string
	// kept is what `allocate` has allocated.
	kept [][]byte
}

func newMisbehaver(context forebay.Context[Config]) (*Misbehaver, error) {
	mode := context.Config.Mode
	if !slices.Contains(modes, mode) {
		return nil, fmt.Errorf("`mode` is %q; expected one of %s", mode, strings.Join(modes, " "))
	}
	if mode == "init" {
		return nil, errors.New("told to fail")
	}
	return &Misbehaver{mode: mode}, nil
}

// HandleEvents logs each payload, and misbehaves at `go`.
func (m *Misbehaver) HandleEvents(delivery *forebay.Delivery) error {
	for event := range delivery.Events() {
		text := string(event.Payload)
		forebay.Infof("%s", text)
		switch text {
		case "no":
			event.Reject("no")
		case "go":
			if err := m.misbehave(delivery, event); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Misbehaver) misbehave(delivery *forebay.Delivery, event forebay.Event) error {
	told := errors.New("told to")
	switch m.mode {
	case "retry":
		return forebay.Retry(told)
	case "fatal":
		return forebay.Fatal(told)
	case "other":
		return told
	case "trap":
		panic("told to trap")
	case "spin":
		for {
		}
	case "allocate":
		m.allocate()
	case "outside":
		delivery.Reject(forebay.Rejection{Index: math.MaxUint32, Reason: "outside"})
	case "twice":
		event.Reject("first")
		event.Reject("second")
	case "flood":
		for line := range floodLines {
			forebay.Infof("line %d", line)
		}
	}
	return nil
}

// allocate goes on until memory is refused, which Go does not survive.
func (m *Misbehaver) allocate() {
	for {
		room := make([]byte, 1<<20)
		for at := 0; at < len(room); at += 4096 {
			room[at] = 1
		}
		m.kept = append(m.kept, room)
	}
}

func main() { forebay.RunConsumer(newMisbehaver) }
