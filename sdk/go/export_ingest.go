//go:build forebay_ingest

package forebay

import "forebay.dev/sdk/internal/abi"

type ingestStage = Ingest

const exportsIngest = true

//go:wasmexport forebay:stage/ingest@0.1.1#handle-ingest
func exportIngest(payloadsAt, payloads, endsAt, ends, topicsAt, topics, topicOfAt, topicOf,
	keysAt, keys, keyEndsAt, keyEnds, headersAt, headers uint32) uint32 {
	defer guard()
	incoming := &Batch{columns: abi.Batch(&abi.BatchRecord{
		Payloads: abi.ListOf(payloadsAt, payloads),
		Ends:     abi.ListOf(endsAt, ends),
		Topics:   abi.ListOf(topicsAt, topics),
		TopicOf:  abi.ListOf(topicOfAt, topicOf),
		Keys:     abi.ListOf(keysAt, keys),
		KeyEnds:  abi.ListOf(keyEndsAt, keyEnds),
		Headers:  abi.ListOf(headersAt, headers),
	})}
	abi.Lifted()
	return batchOf(func(events *Events) error {
		return stage.(Ingest).HandleIngest(incoming, events)
	})
}
