//go:build forebay_terminate

package forebay

import "forebay.dev/sdk/internal/abi"

type terminateStage = Terminate

const exportsTerminate = true

//go:wasmexport forebay:stage/terminate@0.1.1#terminate
func exportTerminate(at, length uint32) {
	defer guard()
	reason := abi.Text(abi.ListOf(at, length))
	abi.Lifted()
	stage.(Terminate).Terminate(reason)
}
