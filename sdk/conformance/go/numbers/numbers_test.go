package numbers

import (
	"math"
	"slices"
	"testing"

	forebay "forebay.dev/sdk"
	"forebay.dev/sdk/forebaytest"
)

// plain is a stage of nothing but numbers.
type plain struct{ Numbers }

func (p *plain) HandleDemand(demand uint32, events *forebay.Events) error {
	return p.Emit(demand, events)
}

func newPlain(context forebay.Context[Config]) (*plain, error) {
	return &plain{From(context.Config)}, context.Config.Check()
}

func demand(t *testing.T, stage *forebaytest.Stage[*plain], count uint32, wanted ...string) {
	t.Helper()
	batch, err := stage.Demand(count)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(batch.Texts(), wanted) {
		t.Errorf("found %q, expected %q", batch.Texts(), wanted)
	}
}

func TestCountsFromZeroByDefault(t *testing.T) {
	stage := forebaytest.Start(t, newPlain, nil)
	demand(t, stage, 3, "0", "1", "2")
	demand(t, stage, 2, "3", "4")
}

func TestAStepMayBeNegativeAndAPayloadPadded(t *testing.T) {
	stage := forebaytest.Start(t, newPlain, forebaytest.Config{"start": 5, "step": -10, "payload_bytes": 4})
	demand(t, stage, 3, "0005", "-005", "-015")
	stage = forebaytest.Start(t, newPlain, forebaytest.Config{"start": 12345, "payload_bytes": 2})
	demand(t, stage, 1, "12345")
}

func TestEmitsNoMoreThanItsLimit(t *testing.T) {
	stage := forebaytest.Start(t, newPlain, forebaytest.Config{"start": 10, "step": 5, "limit": 3})
	demand(t, stage, 2, "10", "15")
	demand(t, stage, 2, "20")
	demand(t, stage, 2)
	stage.Stage.SetNext(15)
	demand(t, stage, 9, "15", "20")
}

func TestThePastOfTheLastNumberIsFatal(t *testing.T) {
	stage := forebaytest.Start(t, newPlain, forebaytest.Config{"start": int64(math.MaxInt64)})
	demand(t, stage, 2, "9223372036854775807")
	if _, err := stage.Demand(1); err == nil || forebay.KindOf(err) != forebay.KindFatal {
		t.Error(err)
	}
}

func TestAStepOfZeroIsRefused(t *testing.T) {
	err := forebaytest.StartError(t, newPlain, forebaytest.Config{"step": 0})
	if err.Error() != "`step` is 0; expected a number to add, as 1 or -1" {
		t.Error(err)
	}
}
