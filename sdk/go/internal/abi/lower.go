//go:build forebay

package abi

import (
	"strings"
	"unsafe"

	"forebay.dev/sdk/internal/column"
)

// result is where an export puts what it returns; the longest is result<output, stage-error>. Every
// field of these is a word or is aligned to one, so a result is words: 0 or 1 for ok or error, then the
// value.
var result [17]uint32

// What the words of result point to. All of it lives until the next call, for which it is used again:
// by then the host has read it, so no export needs a post-return.
var (
	heldText    string
	heldBytes   []byte
	topics      []uint32
	headers     []uint32
	rejections  []uint32
	heldReasons []string
)

// Rejection is the record `rejection`.
type Rejection struct {
	Index  uint32
	Retry  bool
	Reason string
}

func address[T any](first *T) uint32 { return uint32(uintptr(unsafe.Pointer(first))) }

func ofResult() uint32 { return address(&result) }

func putList[T any](word int, list []T) {
	result[word], result[word+1] = address(unsafe.SliceData(list)), uint32(len(list))
}

// putText puts a text: UTF-8 to the component model, which a string of Go need not be.
func putText(word int, text string) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	heldText = text
	result[word], result[word+1] = address(unsafe.StringData(text)), uint32(len(text))
}

// Ok is the answer of a call that returns nothing.
func Ok() uint32 {
	result[0] = 0
	return ofResult()
}

// OkBytes is the answer of a call that returns bytes.
func OkBytes(bytes []byte) uint32 {
	result[0] = 0
	heldBytes = bytes
	putList(1, bytes)
	return ofResult()
}

// OkBatch is the answer of a call that returns events. They are not copied.
func OkBatch(batch *column.Batch) uint32 {
	result[0] = 0
	putBatch(batch)
	return ofResult()
}

// OkRejections is the answer of a consumer.
func OkRejections(rejected []Rejection) uint32 {
	result[0] = 0
	putRejections(1, rejected)
	return ofResult()
}

// OkOutput is the answer of a producer-consumer.
func OkOutput(batch *column.Batch, rejected []Rejection) uint32 {
	result[0] = 0
	putBatch(batch)
	putRejections(15, rejected)
	return ofResult()
}

// FailText is the answer of a call that failed with a text.
func FailText(reason string) uint32 {
	result[0] = 1
	putText(1, reason)
	return ofResult()
}

// FailStage is the answer of a call that failed with a `stage-error`.
func FailStage(kind uint8, reason string) uint32 {
	result[0], result[1] = 1, uint32(kind)
	putText(2, reason)
	return ofResult()
}

func putBatch(batch *column.Batch) {
	topics, headers = topics[:0], headers[:0]
	for _, topic := range batch.Topics {
		topics = appendText(topics, topic)
	}
	for _, header := range batch.Headers {
		headers = append(headers, header.Event)
		headers = appendText(headers, header.Name)
		headers = appendText(headers, header.Value)
	}
	putList(1, batch.Payloads)
	putList(3, batch.Ends)
	putList(5, topics)
	putList(7, batch.TopicOf)
	putList(9, batch.Keys)
	putList(11, batch.KeyEnds)
	putList(13, headers)
	// These two are counted in items, not in words.
	result[6], result[14] = uint32(len(batch.Topics)), uint32(len(batch.Headers))
}

func putRejections(word int, rejected []Rejection) {
	rejections = rejections[:0]
	clear(heldReasons)
	heldReasons = heldReasons[:0]
	for _, one := range rejected {
		retry := uint32(0)
		if one.Retry {
			retry = 1
		}
		rejections = append(rejections, one.Index, retry)
		reason := strings.ToValidUTF8(one.Reason, "\uFFFD")
		rejections = appendText(rejections, reason)
		heldReasons = append(heldReasons, reason)
	}
	putList(word, rejections)
	result[word+1] = uint32(len(rejected))
}

func appendText(words []uint32, text string) []uint32 {
	return append(words, address(unsafe.StringData(text)), uint32(len(text)))
}
