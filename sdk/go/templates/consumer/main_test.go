package main

import (
	"reflect"
	"strings"
	"testing"

	forebay "forebay.dev/sdk"
	"forebay.dev/sdk/forebaytest"
)

func TestGreetsEverybody(t *testing.T) {
	stage := forebaytest.Start(t, new__Type__, forebaytest.Config{"greeting": "Hi"})
	var out strings.Builder
	stage.Stage.out = &out
	rejections, err := stage.Deliver(forebaytest.Texts("Ada", "\xff", "Grace"))
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != "Hi, Ada!\nHi, Grace!\n" {
		t.Errorf("found %q", out.String())
	}
	wanted := []forebay.Rejection{{Index: 1, Reason: "a name is UTF-8"}}
	if !reflect.DeepEqual(rejections, wanted) {
		t.Errorf("found %v, expected %v", rejections, wanted)
	}
}

func TestAWrongConfigIsRefused(t *testing.T) {
	err := forebaytest.StartError(t, new__Type__, forebaytest.Config{"greeting": 7})
	if !strings.Contains(err.Error(), "at `greeting`: found 7, expected a text") {
		t.Error(err)
	}
}
