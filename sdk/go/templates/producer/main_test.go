package main

import (
	"slices"
	"strings"
	"testing"

	"forebay.dev/sdk/forebaytest"
)

func TestGreetsUntilItHasGreetedOftenEnough(t *testing.T) {
	stage := forebaytest.Start(t, new__Type__, forebaytest.Config{"greeting": "Hi", "count": 3})
	for _, wanted := range [][]string{{"Hi number 1", "Hi number 2"}, {"Hi number 3"}, {}} {
		events, err := stage.Demand(2)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(events.Texts(), wanted) {
			t.Errorf("found %q, expected %q", events.Texts(), wanted)
		}
	}
}

func TestAWrongConfigIsRefused(t *testing.T) {
	err := forebaytest.StartError(t, new__Type__, forebaytest.Config{"count": "many"})
	if !strings.Contains(err.Error(), "at `count`: found text \"many\"") {
		t.Error(err)
	}
}
