//go:build forebay && !forebay_terminate

package forebay

type terminateStage = any

const exportsTerminate = false
