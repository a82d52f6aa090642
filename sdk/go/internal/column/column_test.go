package column

import (
	"strings"
	"testing"
)

func TestColumnsThatContradictEachOtherAreRefused(t *testing.T) {
	for column, batch := range map[string]Batch{
		"`ends` falls":             {Payloads: []byte("ab"), Ends: []uint32{2, 1}},
		"`ends` is 1, but":         {Payloads: []byte("ab"), Ends: []uint32{1}},
		"`ends` is 0, but":         {Payloads: []byte("ab")},
		"`key-ends` has 1 entries": {Ends: []uint32{0, 0}, KeyEnds: []uint32{0}},
		"`topic-of` has 0 entries": {Ends: []uint32{0}, Topics: []string{"t"}},
		"`topic-of` names topic 1": {Ends: []uint32{0}, Topics: []string{"t"}, TopicOf: []uint16{1}},
		"`headers` names event 1":  {Ends: []uint32{0}, Headers: []Header{{Event: 1}}},
		"`headers` is not in":      {Ends: []uint32{0, 0}, Headers: []Header{{Event: 1}, {Event: 0}}},
	} {
		if err := batch.Check(); err == nil || !strings.Contains(err.Error(), column) {
			t.Errorf("found %v, expected it to say %s", err, column)
		}
	}
	sound := Batch{Payloads: []byte("ab"), Ends: []uint32{1, 2}, Topics: []string{"t"}, TopicOf: []uint16{0, 0}}
	if err := sound.Check(); err != nil {
		t.Error(err)
	}
}
