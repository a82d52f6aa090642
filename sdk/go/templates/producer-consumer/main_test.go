package main

import (
	"reflect"
	"strings"
	"testing"

	forebay "forebay.dev/sdk"
	"forebay.dev/sdk/forebaytest"
)

func TestGreetsEverybodyAndKeepsTheKey(t *testing.T) {
	stage := forebaytest.Start(t, new__Type__, nil)
	source := forebaytest.Source{Name: "names"}
	events, rejections, err := stage.Transform(source.Send(func(events *forebay.Events) {
		events.PushText("Ada").KeyText("a")
		events.PushText("\xff")
	}))
	if err != nil {
		t.Fatal(err)
	}
	wanted := "\"Hello, Ada!\" topic \"\" key \"a\"\n"
	if found := forebaytest.Describe(events); found != wanted {
		t.Errorf("found %s, expected %s", found, wanted)
	}
	if !reflect.DeepEqual(rejections, []forebay.Rejection{{Index: 1, Reason: "a name is UTF-8"}}) {
		t.Errorf("found %v", rejections)
	}
}

func TestAWrongConfigIsRefused(t *testing.T) {
	err := forebaytest.StartError(t, new__Type__, forebaytest.Config{"greeting": 7})
	if !strings.Contains(err.Error(), "at `greeting`: found 7, expected a text") {
		t.Error(err)
	}
}
