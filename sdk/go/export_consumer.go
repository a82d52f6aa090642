//go:build forebay_consumer

package forebay

import "forebay.dev/sdk/internal/abi"

const runFunction = "RunConsumer"

type (
	consumerStage interface {
		Consumer
		optionalStage
	}
	// A stage of another role cannot satisfy these: the compiler's error names the missing method.
	producerStage         interface{ roleInForebayTomlIsConsumer() }
	producerConsumerStage interface{ roleInForebayTomlIsConsumer() }
)

//go:wasmexport forebay:stage/consume@0.1.1#handle-events
func exportEvents(address uint32) uint32 {
	defer guard()
	delivery := deliveryAt(address)
	if err := stage.(Consumer).HandleEvents(delivery); err != nil {
		return failed(err)
	}
	return abi.OkRejections(delivery.rejectionRecords())
}
