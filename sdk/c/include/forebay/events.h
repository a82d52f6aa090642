/// What a stage makes: events to emit, and rejections of events it was handed.
#ifndef FOREBAY_EVENTS_H
#define FOREBAY_EVENTS_H

#include "batch.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Events to emit, in order. Fields go straight into the columns that cross to the host, whose
/// memory is kept from call to call.
typedef struct forebay_events forebay_events;

/// Adds an event with this payload, which is copied.
void forebay_events_push(forebay_events *events, const void *payload, size_t length);

/// Adds an event whose payload is a text, formatted as by `printf`.
void forebay_events_push_text(forebay_events *events, const char *format, ...) FOREBAY_PRINTF(2, 3);

/// Adds a copy of an event that was delivered, with its topic, key and headers.
void forebay_events_push_event(forebay_events *events, const forebay_event *event);

/// Sets the topic of the event pushed last: what subscriptions choose by. "" means none. Panics at
/// the 65,537th different topic of one call, which the columns cannot hold, and without an event.
void forebay_events_topic(forebay_events *events, const char *topic);

/// Sets the key of the event pushed last: events of one key go to the same consumer when the
/// dispatcher partitions by it. Panics without an event.
void forebay_events_key(forebay_events *events, const void *key, size_t length);

/// Adds a header to the event pushed last. The same name may be added more than once. Panics
/// without an event.
void forebay_events_header(forebay_events *events, const char *name, const char *value);

/// How many events were pushed.
size_t forebay_events_length(const forebay_events *events);

/// Events of a delivery that could not be processed.
typedef struct forebay_rejections forebay_rejections;

/// Says that the event at `index` cannot be processed, now or later: it becomes a dead letter. The
/// reason is formatted as by `printf`.
void forebay_reject(forebay_rejections *rejections, uint32_t index, const char *format, ...)
    FOREBAY_PRINTF(3, 4);

/// Says that the event at `index` could not be processed now: the host delivers it again later.
void forebay_reject_for_now(forebay_rejections *rejections, uint32_t index, const char *format, ...)
    FOREBAY_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif

#endif
