package main

import (
	"testing"

	forebay "forebay.dev/sdk"
	"forebay.dev/sdk/forebaytest"
)

func TestEveryEventIsEmittedTwiceAsItCame(t *testing.T) {
	stage := forebaytest.Start(t, newDouble, nil)
	source := forebaytest.Source{Name: "source"}
	batch, rejections, err := stage.Transform(source.Send(func(events *forebay.Events) {
		events.PushText("a").Topic("t").KeyText("k").Header("n", "v")
		events.PushText("b")
	}))
	if err != nil || len(rejections) > 0 {
		t.Fatal(rejections, err)
	}
	first, second := "\"a\" topic \"t\" key \"k\" n=\"v\"\n", "\"b\" topic \"\" key \"\"\n"
	if found := forebaytest.Describe(batch); found != first+first+second+second {
		t.Error(found)
	}
}

func TestCopiesMayBeNoneButNotTooMany(t *testing.T) {
	stage := forebaytest.Start(t, newDouble, forebaytest.Config{"copies": 0})
	if batch, _, err := stage.Transform(forebaytest.Texts("a")); err != nil || batch.Len() != 0 {
		t.Error(batch, err)
	}
	for _, copies := range []int{-1, 1001} {
		forebaytest.StartError(t, newDouble, forebaytest.Config{"copies": copies})
	}
}
