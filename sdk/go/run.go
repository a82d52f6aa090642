package forebay

import "forebay.dev/sdk/internal/config"

// RunProducer makes the type that start constructs the stage of this component. Call it once, in main.
func RunProducer[C any, S producerStage](start func(Context[C]) (S, error)) {
	run("RunProducer", starter(start))
}

// RunConsumer makes the type that start constructs the stage of this component. Call it once, in main.
func RunConsumer[C any, S consumerStage](start func(Context[C]) (S, error)) {
	run("RunConsumer", starter(start))
}

// RunProducerConsumer makes the type that start constructs the stage of this component. Call it once,
// in main.
func RunProducerConsumer[C any, S producerConsumerStage](start func(Context[C]) (S, error)) {
	run("RunProducerConsumer", starter(start))
}

// facts is a context as the host hands it over.
type facts struct {
	pipeline, stage, node string
	instance              uint32
	config                string
	attributes            map[string]string
}

// starter forgets the types of a constructor.
func starter[C, S any](start func(Context[C]) (S, error)) func(facts) (any, error) {
	return func(given facts) (any, error) {
		parsed, err := config.Parse[C](given.stage, given.config)
		if err != nil {
			return nil, err
		}
		return start(Context[C]{
			Pipeline:   given.pipeline,
			Stage:      given.stage,
			Node:       given.node,
			Instance:   given.instance,
			Config:     parsed,
			Attributes: given.attributes,
		})
	}
}
