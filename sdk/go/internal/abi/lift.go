//go:build forebay

// Package abi is the border between a stage and its host: the canonical ABI of the component model for
// the functions of `forebay:stage`. Written by hand, since batches are columns: a few flat functions, and
// one copy for each column.
//
// A list is two words, where it begins and how many items it has; records are laid out field by field.
package abi

import (
	"unsafe"

	"forebay.dev/sdk/internal/column"
)

// List is a list or a text: its address and its length.
type List struct{ at, length uint32 }

// ListOf makes a list of two flat parameters.
func ListOf(at, length uint32) List { return List{at, length} }

// BatchRecord is the record `batch`.
type BatchRecord struct {
	Payloads, Ends, Topics, TopicOf, Keys, KeyEnds, Headers List
}

// DeliveryRecord is the record `delivery`.
type DeliveryRecord struct {
	Source  List
	Epoch   uint64
	Attempt uint32
	Seqs    List
	Events  BatchRecord
}

type headerRecord struct {
	event       uint32
	name, value List
}

type pairRecord struct{ name, value List }

// at is what a parameter points to, in a room of realloc's.
func at[T any](address uint32) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(nil), address))
}

// view is a list where the host has put it: good until Lifted.
func view[T any](list List) []T {
	if list.length == 0 {
		return nil
	}
	return unsafe.Slice(at[T](list.at), list.length)
}

// lift copies a list to the heap, where a stage may keep it.
func lift[T any](list List) []T { return append([]T(nil), view[T](list)...) }

// Bytes is a list of bytes.
func Bytes(list List) []byte { return lift[byte](list) }

// Text is a text; the host has checked that it is UTF-8.
func Text(list List) string { return string(view[byte](list)) }

// Pairs is a list of (name, value).
func Pairs(list List) map[string]string {
	pairs := make(map[string]string, list.length)
	for _, pair := range view[pairRecord](list) {
		pairs[Text(pair.name)] = Text(pair.value)
	}
	return pairs
}

// Runs is a list of (first, count).
func Runs(list List) []column.Run { return lift[column.Run](list) }

// Batch is the columns of a batch.
func Batch(record *BatchRecord) column.Batch {
	batch := column.Batch{
		Payloads: lift[byte](record.Payloads),
		Ends:     lift[uint32](record.Ends),
		TopicOf:  lift[uint16](record.TopicOf),
		Keys:     lift[byte](record.Keys),
		KeyEnds:  lift[uint32](record.KeyEnds),
	}
	if record.Topics.length > 0 {
		batch.Topics = make([]string, 0, record.Topics.length)
		for _, topic := range view[List](record.Topics) {
			batch.Topics = append(batch.Topics, Text(topic))
		}
	}
	if record.Headers.length > 0 {
		batch.Headers = make([]column.Header, 0, record.Headers.length)
		for _, header := range view[headerRecord](record.Headers) {
			batch.Headers = append(batch.Headers, column.Header{
				Event: header.event, Name: Text(header.name), Value: Text(header.value),
			})
		}
	}
	return batch
}

// Delivery is the record `delivery`, too long for flat parameters: the host gives its address.
func Delivery(address uint32) *DeliveryRecord { return at[DeliveryRecord](address) }

// Asked is the result of `ask`, whose error is a text. The host writes it.
type Asked struct {
	isError uint8
	problem List
}

// Problem is its error, if it is one.
func (a *Asked) Problem() (string, bool) {
	if a.isError == 0 {
		return "", false
	}
	problem := Text(a.problem)
	Lifted()
	return problem, true
}
