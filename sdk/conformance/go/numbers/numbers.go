// Package numbers is what the counter and the checkpointed stage have in common: numbers as payloads.
package numbers

import (
	"fmt"
	"math"
	"strconv"

	forebay "forebay.dev/sdk"
)

// Config is what the pipeline file may say.
type Config struct {
	// Start is the first number.
	Start int64
	// Step is added each time; not 0.
	Step int64
	// Limit is how many numbers there are, from Start on; none: no end.
	Limit *uint64
	// PayloadBytes is what payloads are padded to, with zeros on the left. Unit: bytes.
	PayloadBytes *uint32
}

// SetDefaults is called before the pipeline file is read into the config.
func (c *Config) SetDefaults() { c.Step = 1 }

// Check refuses what the types allow and the stage does not.
func (c Config) Check() error {
	if c.Step == 0 {
		return fmt.Errorf("`step` is 0; expected a number to add, as 1 or -1")
	}
	return nil
}

// Numbers emits one number after the other.
type Numbers struct {
	Config Config
	Next   int64
	// spent says that Next is past the numbers of 64 bits.
	spent bool
}

// From starts at the config's first number.
func From(config Config) Numbers { return Numbers{Config: config, Next: config.Start} }

// SetNext makes next the number that is emitted next.
func (n *Numbers) SetNext(next int64) { n.Next, n.spent = next, false }

// Emit adds the next numbers: as many as were asked for, or as the limit leaves.
func (n *Numbers) Emit(demand uint32, events *forebay.Events) error {
	for range min(uint64(demand), n.left()) {
		if n.spent {
			// What fits is emitted; the error comes with the next demand.
			if events.Len() > 0 {
				return nil
			}
			return forebay.Fatal(fmt.Errorf("the number after %d has more than 64 bits; set `limit`", n.Next))
		}
		events.PushAppend(n.appendNext)
		n.advance()
	}
	return nil
}

func (n *Numbers) advance() {
	next := n.Next + n.Config.Step
	if n.spent = (next > n.Next) != (n.Config.Step > 0); !n.spent {
		n.Next = next
	}
}

// left is how many numbers the limit leaves: also after a restore, so it is counted from the start.
func (n *Numbers) left() uint64 {
	if n.Config.Limit == nil {
		return math.MaxUint64
	}
	done := (n.Next - n.Config.Start) / n.Config.Step
	if done < 0 {
		return *n.Config.Limit
	}
	return *n.Config.Limit - min(uint64(done), *n.Config.Limit)
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func (n *Numbers) appendNext(payload []byte) []byte {
	var room [20]byte
	digits := strconv.AppendInt(room[:0], n.Next, 10)
	if n.Config.PayloadBytes == nil {
		return append(payload, digits...)
	}
	if n.Next < 0 {
		payload, digits = append(payload, '-'), digits[1:]
	}
	missing := int(*n.Config.PayloadBytes) - len(digits)
	if n.Next < 0 {
		missing--
	}
	for missing > 0 {
		some := min(missing, len(zeros))
		payload, missing = append(payload, zeros[:some]...), missing-some
	}
	return append(payload, digits...)
}
