//go:build forebay && !forebay_call

package forebay

type callStage = any

const exportsCall = false
