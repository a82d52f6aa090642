//go:build forebay && !forebay_timer

package forebay

type timerStage = any

const exportsTimer = false
