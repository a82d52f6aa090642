// Package sink takes what stages log and ask for outside a component.
package sink

import (
	"fmt"
	"os"
	"sync"
)

var (
	// calls is held during a call of a harness: tests may run in parallel, and a line says nothing of
	// the stage it comes from.
	calls sync.Mutex
	lines sync.Mutex
	taker Taker
	names = [...]string{"trace", "debug", "info", "warn", "error"}
)

// Taker is handed what a stage logs and asks for during one call.
type Taker struct {
	Log func(level uint8, message string)
	Ask func(source string, count uint32)
}

// During makes one call, and hands what is logged and asked for meanwhile to take.
func During(take Taker, call func()) {
	calls.Lock()
	defer calls.Unlock()
	set(take)
	defer set(Taker{})
	call()
}

func set(take Taker) {
	lines.Lock()
	defer lines.Unlock()
	taker = take
}

// Ask takes what a source is asked for. Outside a call it is let go of.
func Ask(source string, count uint32) {
	lines.Lock()
	defer lines.Unlock()
	if taker.Ask != nil {
		taker.Ask(source, count)
	}
}

// Write takes one line. Outside a call, as when a test calls the stage's own functions, it goes to
// stderr, where `go test` shows it.
func Write(level uint8, message string) {
	lines.Lock()
	defer lines.Unlock()
	if taker.Log == nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", names[level], message)
		return
	}
	taker.Log(level, message)
}
