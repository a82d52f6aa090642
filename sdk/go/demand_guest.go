//go:build forebay

package forebay

import (
	"errors"
	"unsafe"

	"forebay.dev/sdk/internal/abi"
)

// asked is where the host puts what came of an ask. There is one call at a time.
var asked abi.Asked

//go:wasmimport forebay:stage/demand@0.1.1 ask
func hostAsk(source string, count uint32, result unsafe.Pointer)

func ask(source string, count uint32) error {
	hostAsk(source, count, unsafe.Pointer(&asked))
	if problem, refused := asked.Problem(); refused {
		return errors.New(problem)
	}
	return nil
}
