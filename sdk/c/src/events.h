/// Events to emit, built up column by column.
#ifndef FOREBAY_SRC_EVENTS_H
#define FOREBAY_SRC_EVENTS_H

#include "../include/forebay/events.h"
#include "batch.h"
#include "memory.h"

struct forebay_events {
    forebay_column payloads, ends, topics, topic_of, keys, key_ends, headers;
    /// Where a topic is in `topics`, plus 1; 0 for a free place. Open addressing, a power of two.
    forebay_column places;
};

/// The events that the call under way emits.
extern forebay_events forebay_emitted;

/// Fills the columns of topics and keys up to the last event and gives all of them.
forebay_columns forebay_events_columns(forebay_events *events);

/// Empties it for the next call.
void forebay_events_clear(forebay_events *events);

#endif
