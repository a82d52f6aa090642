/// Events a stage is handed: views over the columns the host delivered.
#ifndef FOREBAY_BATCH_H
#define FOREBAY_BATCH_H

#include "values.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Events, as columns:
///
///   payloads  a l p h a b e t a        ends  5 9        event 0 = "alpha", event 1 = "beta"
///
/// Go through them with FOREBAY_FOR_EACH rather than by hand. It is good until the call returns.
typedef struct forebay_batch forebay_batch;

/// One name and value of an event.
typedef struct {
    forebay_text name;
    forebay_text value;
} forebay_header;

/// One event of a batch, and the place of the next. Begin with every field but `batch` zero.
typedef struct {
    /// The batch it is of.
    const forebay_batch *batch;
    /// Its index in the batch, from 0: what a rejection names it by.
    uint32_t index;
    /// The number the source's host gave it; a redelivered event keeps its number. In
    /// `stage_handle_ingest`, where nothing is numbered yet, its index.
    uint64_t seq;
    /// The payload.
    forebay_bytes payload;
    /// The topic; empty when there is none.
    forebay_text topic;
    /// The key; empty when there is none.
    forebay_bytes key;
    /// How many headers it has; `forebay_event_header` gives them.
    size_t headers;
    /// Where the next event is found. Private.
    struct {
        size_t index, payload, key, header, run;
        uint64_t seq;
        uint32_t left;
    } next_;
} forebay_event;

/// Moves to the next event of `event->batch`, the first at first. False when there is none left.
bool forebay_next(forebay_event *event);

/// Runs its body for every event of a batch, in order:
///
///     FOREBAY_FOR_EACH(event, delivery->events) {
///         forebay_info("%.*s", (int)event.payload.length, (const char *)event.payload.data);
///     }
#define FOREBAY_FOR_EACH(event, of_batch)                                                          \
    for (forebay_event event = {.batch = (of_batch)}; forebay_next(&event);)

/// How many events a batch has.
size_t forebay_batch_length(const forebay_batch *batch);

/// The header at `index`, in the order they were added. Panics when `index` is not below
/// `event->headers`.
forebay_header forebay_event_header(const forebay_event *event, size_t index);

/// Whether the payload is exactly this text.
bool forebay_payload_is(const forebay_event *event, const char *expected);

/// Events on their way into a consuming stage, with where they come from.
typedef struct {
    /// The stage that emitted the events, by its name in the pipeline.
    forebay_text source;
    /// The epoch of the source's claim: it rises with each new owner and each restart of the source.
    /// (source, epoch, seq) names one event; a sink can refuse older writers by it.
    uint64_t epoch;
    /// 1 the first time these events are delivered, one more each time they are delivered again.
    uint32_t attempt;
    /// The events.
    const forebay_batch *events;
} forebay_delivery;

#ifdef __cplusplus
}
#endif

#endif
