/// Events to emit, built up column by column. The columns of topics and keys may be behind the
/// events: they are filled when the next topic or key is set, and at the end. So they stay empty
/// for events that have none.
#include "events.h"

#include <string.h>

#include "../include/forebay/buffer.h"
#include "../include/forebay/log.h"

enum { FOREBAY_TOPICS_MAX = 65536, FOREBAY_PLACES_LEAST = 64 };

forebay_events forebay_emitted;

static uint32_t forebay_end_of(size_t bytes) {
    if (bytes > UINT32_MAX)
        FOREBAY_PANIC("%zu bytes in one batch, expected less than 4 GiB; emit smaller batches", bytes);
    return (uint32_t)bytes;
}

static void forebay_events_end(forebay_events *events) {
    uint32_t *end = forebay_column_extend(&events->ends, 1, sizeof *end);
    *end = forebay_end_of(events->payloads.length);
}

static size_t forebay_events_last(const forebay_events *events, const char *what) {
    if (events->ends.length == 0)
        FOREBAY_PANIC("a %s was set before an event was pushed", what);
    return events->ends.length - 1;
}

void forebay_events_push(forebay_events *events, const void *payload, size_t length) {
    void *room = forebay_column_extend(&events->payloads, length, 1);
    if (length)
        memcpy(room, payload, length);
    forebay_events_end(events);
}

void forebay_events_push_text(forebay_events *events, const char *format, ...) {
    forebay_column *payloads = &events->payloads;
    forebay_buffer buffer = {payloads->data, payloads->length, payloads->capacity};
    va_list arguments;
    va_start(arguments, format);
    forebay_buffer_print_list(&buffer, format, arguments);
    va_end(arguments);
    *payloads = (forebay_column){buffer.data, buffer.length, buffer.capacity};
    forebay_events_end(events);
}

static forebay_text forebay_kept_text(const char *data, size_t length, const char *what) {
    if (!forebay_is_utf8((forebay_bytes){(const uint8_t *)data, length}))
        FOREBAY_PANIC("a %s is not UTF-8, but texts have to be; keys and payloads may be any bytes", what);
    return forebay_arena_text(&forebay_call_arena, data, length);
}

static uint32_t forebay_topic_hash(const char *data, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)data[i]) * 16777619u;
    return hash;
}

static bool forebay_same_text(forebay_text text, const char *data, size_t length) {
    return text.length == length && memcmp(text.data, data, length) == 0;
}

/// The place of a topic, or the free place where it belongs.
static uint32_t *forebay_topic_place(forebay_events *events, const char *data, size_t length) {
    const forebay_text *topics = events->topics.data;
    uint32_t *places = events->places.data;
    size_t mask = events->places.length - 1;
    size_t at = forebay_topic_hash(data, length) & mask;
    while (places[at] && !forebay_same_text(topics[places[at] - 1], data, length))
        at = (at + 1) & mask;
    return &places[at];
}

/// Keeps at least half of the places free.
static void forebay_topics_make_room(forebay_events *events) {
    size_t places = events->places.length;
    if (places > events->topics.length * 2 + 1)
        return;
    size_t wanted = places < FOREBAY_PLACES_LEAST ? FOREBAY_PLACES_LEAST : places * 2;
    events->places.length = 0;
    memset(forebay_column_extend(&events->places, wanted, sizeof(uint32_t)), 0, wanted * sizeof(uint32_t));
    const forebay_text *topics = events->topics.data;
    for (size_t i = 0; i < events->topics.length; i++)
        *forebay_topic_place(events, topics[i].data, topics[i].length) = (uint32_t)i + 1;
}

static uint16_t forebay_topic_number(forebay_events *events, const char *data, size_t length) {
    // Neighbours mostly share their topic, which spares looking it up.
    const forebay_text *topics = events->topics.data;
    const uint16_t *topic_of = events->topic_of.data;
    if (events->topic_of.length) {
        uint16_t last = topic_of[events->topic_of.length - 1];
        if (forebay_same_text(topics[last], data, length))
            return last;
    }
    forebay_topics_make_room(events);
    uint32_t *place = forebay_topic_place(events, data, length);
    if (*place)
        return (uint16_t)(*place - 1);
    if (events->topics.length == FOREBAY_TOPICS_MAX)
        FOREBAY_PANIC("more than %d different topics in one batch; emit smaller batches", FOREBAY_TOPICS_MAX);
    forebay_text *topic = forebay_column_extend(&events->topics, 1, sizeof *topic);
    *topic = forebay_kept_text(data, length, "topic");
    *place = (uint32_t)events->topics.length;
    return (uint16_t)(events->topics.length - 1);
}

static void forebay_fill_topics(forebay_events *events, size_t count) {
    if (events->topic_of.length >= count)
        return;
    uint16_t none = forebay_topic_number(events, "", 0);
    size_t missing = count - events->topic_of.length;
    uint16_t *topic_of = forebay_column_extend(&events->topic_of, missing, sizeof *topic_of);
    for (size_t i = 0; i < missing; i++)
        topic_of[i] = none;
}

static void forebay_fill_keys(forebay_events *events, size_t count) {
    if (events->key_ends.length >= count)
        return;
    size_t missing = count - events->key_ends.length;
    uint32_t *key_ends = forebay_column_extend(&events->key_ends, missing, sizeof *key_ends);
    for (size_t i = 0; i < missing; i++)
        key_ends[i] = forebay_end_of(events->keys.length);
}

static void forebay_set_topic(forebay_events *events, const char *data, size_t length) {
    size_t last = forebay_events_last(events, "topic");
    if (length == 0 && events->topic_of.length == 0)
        return;
    forebay_fill_topics(events, last);
    uint16_t number = forebay_topic_number(events, data, length);
    events->topic_of.length = last;
    uint16_t *entry = forebay_column_extend(&events->topic_of, 1, sizeof *entry);
    *entry = number;
}

void forebay_events_topic(forebay_events *events, const char *topic) {
    forebay_set_topic(events, topic, strlen(topic));
}

void forebay_events_key(forebay_events *events, const void *key, size_t length) {
    size_t last = forebay_events_last(events, "key");
    forebay_fill_keys(events, last);
    const uint32_t *key_ends = events->key_ends.data;
    events->key_ends.length = last;
    events->keys.length = last ? key_ends[last - 1] : 0;
    void *room = forebay_column_extend(&events->keys, length, 1);
    if (length)
        memcpy(room, key, length);
    uint32_t *end = forebay_column_extend(&events->key_ends, 1, sizeof *end);
    *end = forebay_end_of(events->keys.length);
}

static void forebay_add_header(forebay_events *events, forebay_text name, forebay_text value) {
    size_t last = forebay_events_last(events, "header");
    forebay_header_entry *entry = forebay_column_extend(&events->headers, 1, sizeof *entry);
    entry->event = (uint32_t)last;
    entry->name = forebay_kept_text(name.data, name.length, "header's name");
    entry->value = forebay_kept_text(value.data, value.length, "header's value");
}

void forebay_events_header(forebay_events *events, const char *name, const char *value) {
    forebay_add_header(events, (forebay_text){name, strlen(name)}, (forebay_text){value, strlen(value)});
}

void forebay_events_push_event(forebay_events *events, const forebay_event *event) {
    forebay_events_push(events, event->payload.data, event->payload.length);
    if (event->topic.length)
        forebay_set_topic(events, event->topic.data, event->topic.length);
    if (event->key.length)
        forebay_events_key(events, event->key.data, event->key.length);
    for (size_t i = 0; i < event->headers; i++) {
        forebay_header header = forebay_event_header(event, i);
        forebay_add_header(events, header.name, header.value);
    }
}

size_t forebay_events_length(const forebay_events *events) {
    return events->ends.length;
}

forebay_columns forebay_events_columns(forebay_events *events) {
    if (events->topic_of.length)
        forebay_fill_topics(events, events->ends.length);
    if (events->key_ends.length)
        forebay_fill_keys(events, events->ends.length);
    return (forebay_columns){
        .payloads = {events->payloads.data, events->payloads.length},
        .ends = {events->ends.data, events->ends.length},
        .topics = {events->topics.data, events->topics.length},
        .topic_of = {events->topic_of.data, events->topic_of.length},
        .keys = {events->keys.data, events->keys.length},
        .key_ends = {events->key_ends.data, events->key_ends.length},
        .headers = {events->headers.data, events->headers.length},
    };
}

void forebay_events_clear(forebay_events *events) {
    if (events->topics.length)
        forebay_column_clear(&events->places, sizeof(uint32_t));
    forebay_column_clear(&events->payloads, 1);
    forebay_column_clear(&events->ends, sizeof(uint32_t));
    forebay_column_clear(&events->topics, sizeof(forebay_text));
    forebay_column_clear(&events->topic_of, sizeof(uint16_t));
    forebay_column_clear(&events->keys, 1);
    forebay_column_clear(&events->key_ends, sizeof(uint32_t));
    forebay_column_clear(&events->headers, sizeof(forebay_header_entry));
}
