//go:build forebay

package forebay

// optionalStage is what forebay.toml lists under `optional`. Each name is the interface where its tag is
// set, and `any` where it is not, so that the compiler names a method that was listed and not written.
type optionalStage interface {
	checkpointStage
	timerStage
	ingestStage
	callStage
	terminateStage
}
