//go:build forebay_checkpoint

package forebay

import "forebay.dev/sdk/internal/abi"

type checkpointStage = Checkpoint

const exportsCheckpoint = true

//go:wasmexport forebay:stage/checkpoint@0.1.1#snapshot
func exportSnapshot() uint32 {
	defer guard()
	snapshot, err := stage.(Checkpoint).Snapshot()
	if err != nil {
		return abi.FailText(err.Error())
	}
	return abi.OkBytes(snapshot)
}

//go:wasmexport forebay:stage/checkpoint@0.1.1#restore
func exportRestore(at, length uint32) uint32 {
	defer guard()
	snapshot := abi.Bytes(abi.ListOf(at, length))
	abi.Lifted()
	if err := stage.(Checkpoint).Restore(snapshot); err != nil {
		return abi.FailText(err.Error())
	}
	return abi.Ok()
}
