//go:build forebay_producer

package forebay

const runFunction = "RunProducer"

type (
	producerStage interface {
		Producer
		optionalStage
	}
	// A stage of another role cannot satisfy these: the compiler's error names the missing method.
	consumerStage         interface{ roleInForebayTomlIsProducer() }
	producerConsumerStage interface{ roleInForebayTomlIsProducer() }
)

//go:wasmexport forebay:stage/produce@0.1.1#handle-demand
func exportDemand(demand uint32) uint32 {
	defer guard()
	return batchOf(func(events *Events) error {
		return stage.(Producer).HandleDemand(demand, events)
	})
}
