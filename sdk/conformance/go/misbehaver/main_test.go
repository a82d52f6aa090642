package main

import (
	"reflect"
	"strings"
	"testing"

	forebay "forebay.dev/sdk"
	"forebay.dev/sdk/forebaytest"
)

func start(t *testing.T, mode string) *forebaytest.Stage[*Misbehaver] {
	t.Helper()
	return forebaytest.Start(t, newMisbehaver, forebaytest.Config{"mode": mode})
}

func TestErrorsAreOfTheKindToldTo(t *testing.T) {
	for _, kind := range []forebay.ErrorKind{forebay.KindRetry, forebay.KindFatal, forebay.KindOther} {
		_, err := start(t, kind.String()).Deliver(forebaytest.Texts("go"))
		if err == nil || err.Error() != "told to" || forebay.KindOf(err) != kind {
			t.Error(kind, err)
		}
	}
}

func TestPayloadsAreLoggedAndNoIsRejected(t *testing.T) {
	stage := forebaytest.Start(t, newMisbehaver, nil)
	rejections, err := stage.Deliver(forebaytest.Texts("go", "no"))
	if err != nil || !reflect.DeepEqual(rejections, []forebay.Rejection{{Index: 1, Reason: "no"}}) {
		t.Error(rejections, err)
	}
	stage.WantLogs("info: go", "info: no")
}

func TestAFloodIsManyLines(t *testing.T) {
	stage := start(t, "flood")
	if _, err := stage.Deliver(forebaytest.Texts("go")); err != nil {
		t.Fatal(err)
	}
	if lines := len(stage.TakeLogs()); lines != 1+floodLines {
		t.Error(lines)
	}
}

func TestAPanicIsOne(t *testing.T) {
	defer func() {
		if cause := recover(); cause != "told to trap" {
			t.Error(cause)
		}
	}()
	start(t, "trap").Deliver(forebaytest.Texts("go"))
}

func TestAStartMayBeRefused(t *testing.T) {
	for mode, wanted := range map[string]string{"init": "told to fail", "odd": "`mode` is \"odd\"; expected one of ok init retry"} {
		err := forebaytest.StartError(t, newMisbehaver, forebaytest.Config{"mode": mode})
		if !strings.HasPrefix(err.Error(), wanted) {
			t.Error(err)
		}
	}
}
