//go:build forebay_producer_consumer

package forebay

import "forebay.dev/sdk/internal/abi"

const runFunction = "RunProducerConsumer"

type (
	producerConsumerStage interface {
		ProducerConsumer
		optionalStage
	}
	// A stage of another role cannot satisfy these: the compiler's error names the missing method.
	producerStage interface{ roleInForebayTomlIsProducerConsumer() }
	consumerStage interface{ roleInForebayTomlIsProducerConsumer() }
)

//go:wasmexport forebay:stage/transform@0.1.1#handle-events
func exportTransform(address uint32) uint32 {
	defer guard()
	delivery := deliveryAt(address)
	emitted.reset()
	if err := stage.(ProducerConsumer).HandleEvents(delivery, &emitted); err != nil {
		return failed(err)
	}
	return abi.OkOutput(emitted.finish(), delivery.rejectionRecords())
}
