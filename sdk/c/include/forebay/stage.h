/// What a stage is told about itself, and the functions it defines. `forebay build` says which one
/// is missing for the role and the optional interfaces of `forebay.toml`.
#ifndef FOREBAY_STAGE_H
#define FOREBAY_STAGE_H

#include "batch.h"
#include "buffer.h"
#include "events.h"
#include "values.h"

#ifdef __cplusplus
extern "C" {
#endif

/// What a stage is told about itself when it starts. Good until `stage_init` returns.
typedef struct {
    /// The pipeline's name.
    forebay_text pipeline;
    /// The stage's name in the pipeline.
    forebay_text stage;
    /// The name of the node it runs on.
    forebay_text node;
    /// Which instance of the stage on this node, from 0.
    uint32_t instance;
    /// The stage's config as JSON; `null` when there is none. See forebay/config.h.
    forebay_text config;
    /// Further facts that a later host may add.
    const forebay_header *attributes;
    size_t attributes_length;
} forebay_context;

/// The value of an attribute, or NULL when the host did not give it.
const char *forebay_context_attribute(const forebay_context *context, const char *name);

// The functions below are defined by the stage, not by Forebay.

/// Every stage: called once, before any other call. Sets all of the stage's state, so that a test
/// can start it again. An error stops the start.
forebay_status stage_init(const forebay_context *context);

/// Producer: pushes up to `demand` events, which is at least 1. Fewer, or none, is fine: the host
/// asks again when the stage's `poll` interval has passed. More is an error, and none is taken.
forebay_status stage_handle_demand(uint32_t demand, forebay_events *events);

/// Consumer: takes one batch. The host acknowledges it after the return, so what must outlive a
/// crash has to be written by then. Events that could not be processed are rejected one by one; with
/// an error nothing of the batch counts as processed.
forebay_status stage_handle_events(const forebay_delivery *delivery, forebay_rejections *rejections);

/// Producer-consumer: takes one batch and pushes what it makes of it: fewer events, as many, or more.
forebay_status stage_transform(const forebay_delivery *delivery, forebay_events *events,
                               forebay_rejections *rejections);

/// Optional `checkpoint`: appends the whole state after the last call.
forebay_status stage_snapshot(forebay_buffer *snapshot);

/// Optional `checkpoint`: takes over what `stage_snapshot` gave. Called after `stage_init` and before
/// anything else.
forebay_status stage_restore(forebay_bytes snapshot);

/// Optional `timer`: called each time the stage's `tick` interval has passed. A consumer pushes none.
forebay_status stage_handle_tick(forebay_events *events);

/// Optional `ingest`, of a producer: events from outside; what is pushed is emitted in their place.
forebay_status stage_handle_ingest(const forebay_batch *incoming, forebay_events *events);

/// Optional `call`: appends the answer to one request. `forebay call` sends JSON.
forebay_status stage_handle_call(forebay_bytes request, forebay_buffer *answer);

/// Optional `terminate`: the last call of an instance that ends in good order; not made after a trap.
void stage_terminate(const char *reason);

#ifdef __cplusplus
}
#endif

#endif
