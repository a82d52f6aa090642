package forebay

import "forebay.dev/sdk/internal/column"

// For package forebaytest, which plays the host. Their types are internal: nobody else can call them.

// Columns are those of a batch.
func Columns(of *Batch) *column.Batch { return &of.columns }

// Finish gives the columns of what was emitted.
func Finish(events *Events) *column.Batch { return events.finish() }

// NewBatch makes a batch of columns.
func NewBatch(columns column.Batch) *Batch { return &Batch{columns: columns} }

// NewDelivery makes a delivery of columns and runs of numbers.
func NewDelivery(columns column.Batch, runs []column.Run) *Delivery {
	return &Delivery{Batch: Batch{columns: columns, runs: runs}}
}

// Rejections are those recorded on a delivery.
func Rejections(of *Delivery) []Rejection { return of.rejections }
