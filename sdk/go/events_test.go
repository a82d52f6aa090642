package forebay

import (
	"reflect"
	"slices"
	"testing"

	"forebay.dev/sdk/internal/column"
)

func want[T any](t *testing.T, got, wanted T) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("found %#v, expected %#v", got, wanted)
	}
}

func TestBarePayloadsLeaveTheOtherColumnsEmpty(t *testing.T) {
	var events Events
	events.PushText("a").Topic("")
	events.Pushf("%d-%d", 1, 2)
	events.PushAppend(func(payload []byte) []byte { return append(payload, 'z') })
	events.Push(nil)
	want(t, *events.finish(), column.Batch{Payloads: []byte("a1-2z"), Ends: []uint32{1, 4, 5, 5}})
}

func TestALateTopicOrKeyFillsTheEventsBeforeIt(t *testing.T) {
	var events Events
	events.PushText("0")
	events.PushText("1")
	events.PushText("2").Topic("t").KeyText("kk")
	events.PushText("3")
	events.PushText("4").Topic("u").Topic("t").KeyText("long").KeyText("k").Header("n", "v")
	columns := events.finish()
	want(t, columns.Topics, []string{"", "t", "u"})
	want(t, columns.TopicOf, []uint16{0, 0, 1, 0, 1})
	want(t, string(columns.Keys), "kkk")
	want(t, columns.KeyEnds, []uint32{0, 0, 2, 2, 3})
	want(t, columns.Headers, []column.Header{{Event: 4, Name: "n", Value: "v"}})
	want(t, columns.Check(), nil)
}

func TestATopicIsHeldOnce(t *testing.T) {
	var events Events
	for _, topic := range []string{"a", "b", "a", "a", "b"} {
		events.PushText("x").Topic(topic)
	}
	want(t, events.finish().Topics, []string{"a", "b"})
	want(t, events.finish().TopicOf, []uint16{0, 1, 0, 0, 1})
}

func TestNothingIsLeftAfterAReset(t *testing.T) {
	var events Events
	events.PushText("x").Topic("t").KeyText("k").Header("n", "v")
	events.finish()
	events.reset()
	events.PushText("y").Topic("u")
	events.PushText("z").Topic("t")
	columns := events.finish()
	want(t, columns.Topics, []string{"u", "t"})
	want(t, columns.TopicOf, []uint16{0, 1})
	want(t, string(columns.Payloads), "yz")
	want(t, len(columns.Keys)+len(columns.KeyEnds)+len(columns.Headers), 0)
}

func TestABigColumnIsNotKept(t *testing.T) {
	var events Events
	events.Push(make([]byte, keptBytesMax+1))
	events.reset()
	want(t, cap(events.columns.Payloads), 0)
	want(t, cap(events.columns.Ends) > 0, true)
}

func TestPushAppendRefusesAnotherSlice(t *testing.T) {
	var events Events
	events.PushText("abc")
	defer func() {
		if recover() == nil {
			t.Error("a shorter slice was taken")
		}
	}()
	events.PushAppend(func([]byte) []byte { return nil })
}

func TestCopiesOfDeliveredEventsAreEqualToThem(t *testing.T) {
	var events Events
	events.PushText("0")
	events.PushText("1").Topic("t").KeyText("k").Header("a", "1").Header("b", "2")
	events.PushText("2").KeyText("l").Header("a", "3")
	first := &Batch{columns: *events.finish()}
	var copies Events
	for event := range first.Events() {
		copies.PushEvent(event)
	}
	want(t, *copies.finish(), first.columns)
}

func TestEventsKnowTheirPlaceNumberAndHeaders(t *testing.T) {
	var events Events
	for _, payload := range []string{"a", "b", "\xff", "d"} {
		events.PushText(payload)
	}
	events.PushText("e").Header("n", "1").Header("m", "2").Header("n", "3")
	runs := []column.Run{{First: 10, Count: 2}, {First: 20, Count: 0}, {First: 30, Count: 3}}
	delivery := NewDelivery(*events.finish(), runs)
	var seqs []uint64
	for event := range delivery.Events() {
		seqs = append(seqs, event.Seq)
		_, err := event.Text()
		want(t, err != nil, event.Index == 2)
		value, found := event.Header("m")
		want(t, found, event.Index == 4)
		if found {
			want(t, value, "2")
			var names []string
			for name := range event.Headers() {
				names = append(names, name)
			}
			want(t, names, []string{"n", "m", "n"})
		}
	}
	want(t, seqs, []uint64{10, 11, 30, 31, 32})
}

func TestAppendingToAPayloadDoesNotWriteTheNext(t *testing.T) {
	var events Events
	events.PushText("ab").KeyText("k")
	events.PushText("cd").KeyText("l")
	batch := &Batch{columns: *events.finish()}
	for event := range batch.Events() {
		_ = append(event.Payload, 'x')
		_ = append(event.Key(), 'x')
	}
	want(t, slices.Equal(batch.Texts(), []string{"ab", "cd"}), true)
	want(t, string(batch.columns.Keys), "kl")
}

func TestRejectionsAreKeptInOrder(t *testing.T) {
	var events Events
	events.PushText("a")
	events.PushText("b")
	delivery := NewDelivery(*events.finish(), nil)
	for event := range delivery.Events() {
		if event.Index == 0 {
			event.Retry("later")
		} else {
			event.Reject("never")
		}
	}
	want(t, Rejections(delivery), []Rejection{{0, true, "later"}, {1, false, "never"}})
}
