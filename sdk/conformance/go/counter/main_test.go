package main

import (
	"testing"

	forebay "forebay.dev/sdk"
	"forebay.dev/sdk/forebaytest"
)

func TestPushedEventsGetATopic(t *testing.T) {
	stage := forebaytest.Start(t, newCounter, nil)
	batch, err := stage.Ingest(func(incoming *forebay.Events) {
		incoming.PushText("a").KeyText("k").Header("n", "v")
		incoming.PushText("b").Topic("other")
	})
	if err != nil {
		t.Fatal(err)
	}
	wanted := "\"a\" topic \"ingested\" key \"k\" n=\"v\"\n\"b\" topic \"ingested\" key \"\"\n"
	if found := forebaytest.Describe(batch); found != wanted {
		t.Errorf("found\n%sexpected\n%s", found, wanted)
	}
}

func TestRequestsSetAndTellTheNextNumber(t *testing.T) {
	stage := forebaytest.Start(t, newCounter, forebaytest.Config{"start": 3})
	for _, exchange := range [][2]string{{"{}", `{"next":3}`}, {`{"set": -7}`, `{"next":-7}`}, {"{}", `{"next":-7}`}} {
		answer, err := stage.Call(exchange[0])
		if err != nil || answer != exchange[1] {
			t.Errorf("%s was answered by %s, %v", exchange[0], answer, err)
		}
	}
	for _, request := range []string{"hello", `{"set":null}`, `{"sett":1}`, `{"set":"x"}`, "[]", "null", ""} {
		if _, err := stage.Call(request); err == nil || err.Error() != "unknown request: "+request {
			t.Errorf("%s was answered by %v", request, err)
		}
	}
}
