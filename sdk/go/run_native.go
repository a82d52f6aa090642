//go:build !forebay

package forebay

import (
	"fmt"
	"os"

	"forebay.dev/sdk/internal/sink"
)

// Outside a component any stage may be run; which role it is to have is checked by `forebay build`.
type (
	producerStage         = Producer
	consumerStage         = Consumer
	producerConsumerStage = ProducerConsumer
)

// run is reached by `go run`, where no host makes calls.
func run(function string, _ func(facts) (any, error)) {
	fmt.Fprintf(os.Stderr, "forebay.%s: this program is a stage; `forebay run` runs it in a pipeline, `forebay test` tests it\n", function)
	os.Exit(2)
}

func ask(source string, count uint32) error {
	sink.Ask(source, count)
	return nil
}

func writeLog(level Level, message string) { sink.Write(uint8(level), message) }
