package forebaytest

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"

	forebay "forebay.dev/sdk"
)

// unruly does what each test tells it.
type unruly struct {
	demand  func(demand uint32, events *forebay.Events) error
	deliver func(delivery *forebay.Delivery) error
}

func (u *unruly) HandleDemand(demand uint32, events *forebay.Events) error {
	return u.demand(demand, events)
}

func (u *unruly) HandleEvents(delivery *forebay.Delivery) error { return u.deliver(delivery) }

func (u *unruly) HandleTick(events *forebay.Events) error {
	events.PushText("tick")
	return nil
}

type settings struct{ Name string }

func construct(context forebay.Context[settings]) (*unruly, error) {
	if context.Config.Name == "" {
		return nil, errors.New("`name` is empty; expected a name")
	}
	forebay.Infof("%s on %s/%s/%s", context.Config.Name, context.Pipeline, context.Stage, context.Node)
	return &unruly{}, nil
}

// recorder takes the failures of a test that is to fail.
type recorder struct {
	testing.TB
	failures []string
}

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// fails gives what a test says that is to fail.
func fails(t *testing.T, test func(t testing.TB)) string {
	t.Helper()
	recorded := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(recorded)
	}()
	<-done
	if len(recorded.failures) != 1 {
		t.Fatalf("%d failures, expected one: %q", len(recorded.failures), recorded.failures)
	}
	return recorded.failures[0]
}

func expect(t *testing.T, found, part string) {
	t.Helper()
	if !strings.Contains(found, part) {
		t.Errorf("found %q, expected it to say %q", found, part)
	}
}

func TestWhatAHostRefusesFailsTheTest(t *testing.T) {
	for part, test := range map[string]func(*Stage[*unruly]){
		"emitted 3 events for a demand of 2": func(stage *Stage[*unruly]) {
			stage.Stage.demand = func(_ uint32, events *forebay.Events) error {
				for range 3 {
					events.PushText("x")
				}
				return nil
			}
			stage.Demand(2)
		},
		"names none of the 2 events": func(stage *Stage[*unruly]) {
			stage.Stage.deliver = func(delivery *forebay.Delivery) error {
				delivery.Reject(forebay.Rejection{Index: 2})
				return nil
			}
			stage.Deliver(Texts("a", "b"))
		},
		"event 1 was rejected twice": func(stage *Stage[*unruly]) {
			stage.Stage.deliver = func(delivery *forebay.Delivery) error {
				for event := range delivery.Events() {
					event.Reject("no")
					if event.Index == 1 {
						event.Retry("no")
					}
				}
				return nil
			}
			stage.Deliver(Texts("a", "b"))
		},
		"column `ends` is 0": func(stage *Stage[*unruly]) {
			stage.Stage.demand = func(_ uint32, events *forebay.Events) error {
				events.PushText("abc")
				forebay.Finish(events).Ends[0] = 0
				return nil
			}
			stage.Demand(2)
		},
		"the consumer emitted 1 events at a tick": func(stage *Stage[*unruly]) { stage.Tick() },
		"lacks methods of forebay.Checkpoint":     func(stage *Stage[*unruly]) { stage.Snapshot() },
		"the stage logged":                        func(stage *Stage[*unruly]) { stage.WantLogs("info: other") },
	} {
		expect(t, fails(t, func(t testing.TB) { test(Start(t, construct, Config{"name": "x"})) }), part)
	}
}

func TestAStageThatMustNotStartDoesNot(t *testing.T) {
	expect(t, StartError(t, construct, nil).Error(), "`name` is empty")
	expect(t, StartError(t, construct, Config{"name": 7}).Error(), "config of stage `stage`: at `name`: found 7, expected a text")
	expect(t, fails(t, func(t testing.TB) { Start(t, construct, nil) }), "refused to start")
	expect(t, fails(t, func(t testing.TB) { StartError(t, construct, Config{"name": "x"}) }), "expected it to refuse")
}

func TestLogsAreKeptAndTakenOnce(t *testing.T) {
	stage, err := StartIn(t, construct, Config{"name": "x"}, forebay.Context[settings]{Node: "b"})
	if err != nil {
		t.Fatal(err)
	}
	stage.WantLogs("info: x on pipeline/stage/b")
	stage.WantLogs()
}

func TestErrorsOfTheStageAreHandedBack(t *testing.T) {
	stage := Start(t, construct, Config{"name": "x"})
	stage.Stage.demand = func(uint32, *forebay.Events) error { return forebay.Retry(errors.New("later")) }
	if _, err := stage.Demand(1); forebay.KindOf(err) != forebay.KindRetry {
		t.Error(err)
	}
}

func TestASourceNumbersItsEvents(t *testing.T) {
	source := Source{Name: "meter", Epoch: 2, Attempt: 3, NextSeq: 5}
	fill := func(events *forebay.Events) { events.PushText("a").Topic("t") }
	source.Send(fill)
	delivery := source.Send(fill)
	for event := range delivery.Events() {
		if event.Seq != 6 || event.Topic() != "t" {
			t.Error(event)
		}
	}
	expect(t, Describe(&delivery.Batch), `"a" topic "t" key ""`)
}

func TestWhatIsAskedForCountsOnceItsCallHasSucceeded(t *testing.T) {
	stage := Start(t, func(forebay.Context[settings]) (*unruly, error) {
		return &unruly{deliver: func(delivery *forebay.Delivery) error {
			for event := range delivery.Events() {
				if err := forebay.Ask(delivery.Source, uint32(len(event.Payload))); err != nil {
					return err
				}
				if string(event.Payload) == "fail" {
					return forebay.Retry(errors.New("told to"))
				}
			}
			return nil
		}}, forebay.Ask("other", 7)
	}, nil)
	for _, delivery := range []*forebay.Delivery{Texts("a", "bb"), Texts("ccc", "fail"), Texts("d")} {
		_, _ = stage.Deliver(delivery)
	}
	if asked := stage.TakeAsked(); !maps.Equal(asked, map[string]uint32{"other": 7, "source": 4}) {
		t.Error(asked)
	}
	if asked := stage.TakeAsked(); len(asked) > 0 {
		t.Error(asked)
	}
	if err := forebay.Ask("\xff", 1); forebay.KindOf(err) != forebay.KindFatal || !strings.Contains(err.Error(), `"\xff" cannot be asked`) {
		t.Error(err)
	}
}
