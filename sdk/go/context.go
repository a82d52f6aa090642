package forebay

import "forebay.dev/sdk/internal/config"

// Context is what a stage is told about itself when it starts.
//
// C is the stage's own config type: a struct, or [NoConfig]. The table `config` of the pipeline file is
// read into it before the constructor runs; a key the struct does not have, and a value of another
// type, stop the start with an error that names the key. Keys are named by the fields' `json` tags, or
// are the fields' names in snake_case: PayloadBytes is `payload_bytes`. A key that is absent leaves its
// field as it is; a config with other defaults than zeros has a method SetDefaults.
//
//	func (c *Config) SetDefaults() { c.Greeting = "Hello" }
type Context[C any] struct {
	// Pipeline is the pipeline's name.
	Pipeline string
	// Stage is the stage's name in the pipeline.
	Stage string
	// Node is the name of the node it runs on.
	Node string
	// Instance is which instance of the stage on this node, from 0.
	Instance uint32
	// Config is the stage's config.
	Config C
	// Attributes are further facts that a later host may add.
	Attributes map[string]string
}

// NoConfig is the config type of a stage that takes none: any key is an error.
type NoConfig = struct{}

// DecodeJSON reads JSON as strictly as a config is read: an unknown key and a value of another type are
// errors that name the key. It is here for requests of [Call]; encoding/json works as well, but makes
// the component twice as big.
func DecodeJSON(source []byte, into any) error {
	return config.Decode(string(source), into)
}
