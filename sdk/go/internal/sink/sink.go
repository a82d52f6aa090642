// Package sink takes what stages log outside a component.
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
	taker func(level uint8, message string)
	names = [...]string{"trace", "debug", "info", "warn", "error"}
)

// During makes one call, and hands what is logged meanwhile to take.
func During(take func(level uint8, message string), call func()) {
	calls.Lock()
	defer calls.Unlock()
	set(take)
	defer set(nil)
	call()
}

func set(take func(level uint8, message string)) {
	lines.Lock()
	defer lines.Unlock()
	taker = take
}

// Write takes one line. Outside a call, as when a test calls the stage's own functions, it goes to
// stderr, where `go test` shows it.
func Write(level uint8, message string) {
	lines.Lock()
	defer lines.Unlock()
	if taker == nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", names[level], message)
		return
	}
	taker(level, message)
}
