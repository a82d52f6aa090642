// Package forebaytest runs a stage in a plain `go test`: no WebAssembly, no host.
//
// A [Stage] makes the calls a host makes, refuses what a host refuses by failing the test, and keeps
// what the stage logged and asked for.
//
//	func TestGreetsEveryName(t *testing.T) {
//		stage := forebaytest.Start(t, newGreeter, forebaytest.Config{"greeting": "Hello"})
//		rejections, err := stage.Deliver(forebaytest.Texts("Ada", "Grace"))
//		if err != nil || len(rejections) > 0 {
//			t.Fatal(rejections, err)
//		}
//		stage.WantLogs("info: Hello, Ada!", "info: Hello, Grace!")
//	}
package forebaytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	forebay "forebay.dev/sdk"
	"forebay.dev/sdk/internal/config"
	"forebay.dev/sdk/internal/sink"
)

// Config is the table `config` of a pipeline file; nil for a file that has none.
type Config map[string]any

// LogLine is one line a stage logged.
type LogLine struct {
	Level   forebay.Level
	Message string
}

// String is as in `info: the message`.
func (l LogLine) String() string { return l.Level.String() + ": " + l.Message }

// Stage is a stage that was started, and the calls a host makes.
type Stage[S any] struct {
	// Stage is what the constructor made, to look at its state.
	Stage S
	t     testing.TB
	logs  []LogLine
	asked map[string]uint32
}

// Start makes a stage with a config, and fails the test if the stage refuses to start. Its pipeline,
// stage and node are named `pipeline`, `stage` and `node`, its instance is 0; see [StartIn].
func Start[C, S any](t testing.TB, construct func(forebay.Context[C]) (S, error), given Config) *Stage[S] {
	t.Helper()
	stage, err := StartIn(t, construct, given, forebay.Context[C]{})
	if err != nil {
		t.Fatalf("the stage refused to start: %v", err)
	}
	return stage
}

// StartError makes a stage that is to refuse its start, and gives its error. The test fails if it
// starts all the same.
func StartError[C, S any](t testing.TB, construct func(forebay.Context[C]) (S, error), given Config) error {
	t.Helper()
	_, err := StartIn(t, construct, given, forebay.Context[C]{})
	if err == nil {
		t.Fatalf("the stage started with the config %v; expected it to refuse", given)
	}
	return err
}

// StartIn makes a stage in a context of the test's own. Names that are empty are those of [Start], and
// the config is read from given.
func StartIn[C, S any](t testing.TB, construct func(forebay.Context[C]) (S, error), given Config, context forebay.Context[C]) (*Stage[S], error) {
	t.Helper()
	text, err := json.Marshal(given)
	if err != nil {
		t.Fatalf("the config is no JSON: %v", err)
	}
	context.Pipeline = orElse(context.Pipeline, "pipeline")
	context.Stage = orElse(context.Stage, "stage")
	context.Node = orElse(context.Node, "node")
	started := &Stage[S]{t: t, asked: map[string]uint32{}}
	err = started.try(func() (err error) {
		if context.Config, err = config.Parse[C](context.Stage, string(text)); err != nil {
			return err
		}
		started.Stage, err = construct(context)
		return err
	})
	return started, err
}

func orElse(name, instead string) string {
	if name == "" {
		return instead
	}
	return name
}

// call makes a call that cannot fail.
func (s *Stage[S]) call(call func()) {
	_ = s.try(func() error {
		call()
		return nil
	})
}

// try makes a call, and keeps what it asked for if it succeeds: a host does so too.
func (s *Stage[S]) try(call func() error) (err error) {
	asked := map[string]uint32{}
	sink.During(sink.Taker{
		Log: func(level uint8, message string) { s.logs = append(s.logs, LogLine{forebay.Level(level), message}) },
		Ask: func(source string, count uint32) { asked[source] += count },
	}, func() { err = call() })
	if err != nil {
		return err
	}
	for source, count := range asked {
		s.asked[source] += count
	}
	return nil
}

// TakeAsked gives how many events the stage asked each source for, by [forebay.Ask], since the start or the last call of
// this method. What a call asked for that failed is not counted.
func (s *Stage[S]) TakeAsked() map[string]uint32 {
	asked := s.asked
	s.asked = map[string]uint32{}
	return asked
}

// TakeLogs gives the lines logged since the start or the last call of this method.
func (s *Stage[S]) TakeLogs() []LogLine {
	logs := s.logs
	s.logs = nil
	return logs
}

// WantLogs takes the lines logged, and fails the test if they are not these, as `info: the message`.
func (s *Stage[S]) WantLogs(lines ...string) {
	s.t.Helper()
	logged := []string{}
	for _, line := range s.TakeLogs() {
		logged = append(logged, line.String())
	}
	if !slices.Equal(logged, lines) {
		s.t.Errorf("the stage logged\n  %q\nexpected\n  %q", logged, lines)
	}
}

// Demand asks a [forebay.Producer] for up to demand events. More of them fail the test.
func (s *Stage[S]) Demand(demand uint32) (*forebay.Batch, error) {
	s.t.Helper()
	producer := as[forebay.Producer](s, "Producer")
	batch, err := s.emit(func(events *forebay.Events) error { return producer.HandleDemand(demand, events) })
	if err == nil && batch.Len() > int(demand) {
		s.t.Fatalf("the stage emitted %d events for a demand of %d; the host takes none of them", batch.Len(), demand)
	}
	return batch, err
}

// Deliver hands one batch to a [forebay.Consumer]. A rejection that names no event of the batch, or
// one a second time, fails the test.
func (s *Stage[S]) Deliver(delivery *forebay.Delivery) ([]forebay.Rejection, error) {
	s.t.Helper()
	consumer := as[forebay.Consumer](s, "Consumer")
	if err := s.try(func() error { return consumer.HandleEvents(delivery) }); err != nil {
		return nil, err
	}
	return s.checkedRejections(delivery), nil
}

// Transform hands one batch to a [forebay.ProducerConsumer] and gives what it makes of it. What
// [Stage.Deliver] refuses is refused here too.
func (s *Stage[S]) Transform(delivery *forebay.Delivery) (*forebay.Batch, []forebay.Rejection, error) {
	s.t.Helper()
	both := as[forebay.ProducerConsumer](s, "ProducerConsumer")
	batch, err := s.emit(func(events *forebay.Events) error { return both.HandleEvents(delivery, events) })
	if err != nil {
		return nil, nil, err
	}
	return batch, s.checkedRejections(delivery), nil
}

// Snapshot takes a snapshot of a [forebay.Checkpoint].
func (s *Stage[S]) Snapshot() (snapshot []byte, err error) {
	s.t.Helper()
	stage := as[forebay.Checkpoint](s, "Checkpoint")
	err = s.try(func() (err error) {
		snapshot, err = stage.Snapshot()
		return err
	})
	return snapshot, err
}

// Restore hands a snapshot to a [forebay.Checkpoint].
func (s *Stage[S]) Restore(snapshot []byte) error {
	s.t.Helper()
	stage := as[forebay.Checkpoint](s, "Checkpoint")
	return s.try(func() error { return stage.Restore(snapshot) })
}

// Tick tells a [forebay.Timer] that its interval has passed. A consumer that emits fails the test.
func (s *Stage[S]) Tick() (*forebay.Batch, error) {
	s.t.Helper()
	batch, err := s.emit(as[forebay.Timer](s, "Timer").HandleTick)
	if _, consumes := any(s.Stage).(forebay.Consumer); consumes && err == nil && batch.Len() > 0 {
		s.t.Fatalf("the consumer emitted %d events at a tick; nobody takes them", batch.Len())
	}
	return batch, err
}

// Ingest pushes events from outside into a [forebay.Ingest]; fill adds them.
func (s *Stage[S]) Ingest(fill func(incoming *forebay.Events)) (*forebay.Batch, error) {
	s.t.Helper()
	stage := as[forebay.Ingest](s, "Ingest")
	var incoming forebay.Events
	fill(&incoming)
	batch := forebay.NewBatch(*forebay.Finish(&incoming))
	return s.emit(func(events *forebay.Events) error { return stage.HandleIngest(batch, events) })
}

// Call asks a [forebay.Call].
func (s *Stage[S]) Call(request string) (answer string, err error) {
	s.t.Helper()
	stage := as[forebay.Call](s, "Call")
	var bytes []byte
	err = s.try(func() (err error) {
		bytes, err = stage.HandleCall([]byte(request))
		return err
	})
	return string(bytes), err
}

// Terminate ends a [forebay.Terminate] in good order.
func (s *Stage[S]) Terminate(reason string) {
	s.t.Helper()
	stage := as[forebay.Terminate](s, "Terminate")
	s.call(func() { stage.Terminate(reason) })
}

func (s *Stage[S]) emit(call func(*forebay.Events) error) (*forebay.Batch, error) {
	s.t.Helper()
	var events forebay.Events
	if err := s.try(func() error { return call(&events) }); err != nil {
		return nil, err
	}
	columns := forebay.Finish(&events)
	if err := columns.Check(); err != nil {
		s.t.Fatalf("the host refuses what the stage emitted: %v", err)
	}
	return forebay.NewBatch(*columns), nil
}

func (s *Stage[S]) checkedRejections(delivery *forebay.Delivery) []forebay.Rejection {
	s.t.Helper()
	rejections := forebay.Rejections(delivery)
	seen := map[uint32]bool{}
	for _, rejection := range rejections {
		if seen[rejection.Index] {
			s.t.Fatalf("event %d was rejected twice; the host allows it once", rejection.Index)
		}
		seen[rejection.Index] = true
		if int64(rejection.Index) >= int64(delivery.Len()) {
			s.t.Fatalf("the rejection %+v names none of the %d events; the host refuses it", rejection, delivery.Len())
		}
	}
	return rejections
}

// as is the stage as one of the interfaces; the test fails if it lacks a method.
func as[I any, S any](s *Stage[S], name string) I {
	s.t.Helper()
	stage, fits := any(s.Stage).(I)
	if !fits {
		s.t.Fatalf("%T lacks methods of forebay.%s", s.Stage, name)
	}
	return stage
}

// Describe shows a batch for a test's message, one line for each event: payload, topic, key, headers.
func Describe(batch *forebay.Batch) string {
	var lines []byte
	for event := range batch.Events() {
		lines = fmt.Appendf(lines, "%q topic %q key %q", event.Payload, event.Topic(), event.Key())
		for name, value := range event.Headers() {
			lines = fmt.Appendf(lines, " %s=%q", name, value)
		}
		lines = append(lines, '\n')
	}
	return string(lines)
}
