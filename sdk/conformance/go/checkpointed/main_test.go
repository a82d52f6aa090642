package main

import (
	"slices"
	"testing"

	"forebay.dev/sdk/forebaytest"
)

func TestARestoredStageGoesOnAndKeepsToTheLimit(t *testing.T) {
	config := forebaytest.Config{"start": 10, "limit": 5}
	first := forebaytest.Start(t, newCheckpointed, config)
	if _, err := first.Demand(3); err != nil {
		t.Fatal(err)
	}
	snapshot, err := first.Snapshot()
	if err != nil || string(snapshot) != "13" {
		t.Fatal(string(snapshot), err)
	}
	second := forebaytest.Start(t, newCheckpointed, config)
	if err := second.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	batch, err := second.Demand(9)
	if err != nil || !slices.Equal(batch.Texts(), []string{"13", "14"}) {
		t.Error(batch.Texts(), err)
	}
}

func TestASnapshotThatIsNoNumberIsRefused(t *testing.T) {
	stage := forebaytest.Start(t, newCheckpointed, nil)
	for _, snapshot := range []string{"", "12a", "99999999999999999999"} {
		if err := stage.Restore([]byte(snapshot)); err == nil || err.Error() != "snapshot `"+snapshot+"`: expected a number" {
			t.Error(err)
		}
	}
}

func TestTheEndIsLogged(t *testing.T) {
	stage := forebaytest.Start(t, newCheckpointed, nil)
	stage.Terminate("drained")
	stage.WantLogs("info: terminated: drained")
}
