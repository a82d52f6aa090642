//go:build forebay && !forebay_checkpoint

package forebay

type checkpointStage = any

const exportsCheckpoint = false
