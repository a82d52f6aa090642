//go:build forebay_call

package forebay

import "forebay.dev/sdk/internal/abi"

type callStage = Call

const exportsCall = true

//go:wasmexport forebay:stage/call@0.1.1#handle-call
func exportCall(at, length uint32) uint32 {
	defer guard()
	request := abi.Bytes(abi.ListOf(at, length))
	abi.Lifted()
	answer, err := stage.(Call).HandleCall(request)
	if err != nil {
		return abi.FailText(err.Error())
	}
	return abi.OkBytes(answer)
}
