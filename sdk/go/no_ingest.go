//go:build forebay && !forebay_ingest

package forebay

type ingestStage = any

const exportsIngest = false
