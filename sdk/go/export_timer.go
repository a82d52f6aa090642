//go:build forebay_timer

package forebay

type timerStage = Timer

const exportsTimer = true

//go:wasmexport forebay:stage/timer@0.1.1#handle-tick
func exportTick() uint32 {
	defer guard()
	return batchOf(stage.(Timer).HandleTick)
}
