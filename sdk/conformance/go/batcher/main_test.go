package main

import (
	"slices"
	"testing"

	"forebay.dev/sdk/forebaytest"
)

func TestPayloadsAreJoinedAndATickEmitsTheRest(t *testing.T) {
	stage := forebaytest.Start(t, newBatcher, forebaytest.Config{"size": 2})
	batch, _, err := stage.Transform(forebaytest.Texts("a", "b", "c", "d", "e"))
	if err != nil || !slices.Equal(batch.Texts(), []string{"a,b", "c,d"}) {
		t.Error(batch.Texts(), err)
	}
	for _, wanted := range [][]string{{"e"}, {}} {
		batch, err = stage.Tick()
		if err != nil || !slices.Equal(batch.Texts(), wanted) {
			t.Error(batch.Texts(), err)
		}
	}
}

func TestAsManyAsAreJoinedAreAskedFor(t *testing.T) {
	stage := forebaytest.Start(t, newBatcher, forebaytest.Config{"size": 2, "ask": "source"})
	if _, _, err := stage.Transform(forebaytest.Texts("a", "b", "c")); err != nil {
		t.Error(err)
	}
	if _, err := stage.Tick(); err != nil {
		t.Error(err)
	}
	if asked := stage.TakeAsked(); asked["source"] != 5 {
		t.Error(asked)
	}
}

func TestASizeBelowOneIsRefused(t *testing.T) {
	err := forebaytest.StartError(t, newBatcher, forebaytest.Config{"size": 0})
	if err.Error() != "`size` is 0; expected at least 1" {
		t.Error(err)
	}
}
