package main

import (
	"reflect"
	"slices"
	"testing"

	forebay "forebay.dev/sdk"
	"forebay.dev/sdk/forebaytest"
)

func TestWhatContainsTheTextIsPassedOn(t *testing.T) {
	stage := forebaytest.Start(t, newFilter, forebaytest.Config{"contains": "da"})
	batch, rejections, err := stage.Transform(forebaytest.Texts("Ada", "later", "Grace", "\xff", "soda"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(batch.Texts(), []string{"Ada", "soda"}) {
		t.Error(batch.Texts())
	}
	wanted := []forebay.Rejection{{Index: 1, Retry: true, Reason: "later"}, {Index: 3, Reason: "not UTF-8"}}
	if !reflect.DeepEqual(rejections, wanted) {
		t.Error(rejections)
	}
}
