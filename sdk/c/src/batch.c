/// Going through the events of a batch. The host has checked the columns before.
#include "batch.h"

#include <string.h>

#include "../include/forebay/log.h"

/// The pointer of an empty list means nothing, so that of an empty text is made one that does.
static forebay_text forebay_text_from(forebay_text text) {
    return text.length ? text : (forebay_text){"", 0};
}

static forebay_bytes forebay_cut(forebay_bytes bytes, uint32_t end, size_t *start) {
    forebay_bytes piece = {bytes.data + *start, end - *start};
    *start = end;
    return piece;
}

/// Counts through the runs; past the last one it just counts on.
static uint64_t forebay_next_seq(forebay_event *event) {
    const forebay_batch *batch = event->batch;
    while (event->next_.left == 0 && event->next_.run < batch->runs.length) {
        const forebay_run *run = &batch->runs.data[event->next_.run++];
        event->next_.seq = run->first;
        event->next_.left = run->count;
    }
    if (event->next_.left)
        event->next_.left--;
    return event->next_.seq++;
}

static size_t forebay_count_headers(const forebay_columns *columns, size_t first, uint32_t index) {
    size_t end = first;
    while (end < columns->headers.length && columns->headers.data[end].event == index)
        end++;
    return end - first;
}

bool forebay_next(forebay_event *event) {
    const forebay_columns *columns = &event->batch->columns;
    size_t index = event->next_.index;
    if (index >= columns->ends.length)
        return false;
    event->index = (uint32_t)index;
    event->seq = forebay_next_seq(event);
    event->payload = forebay_cut(columns->payloads, columns->ends.data[index], &event->next_.payload);
    event->topic = (forebay_text){"", 0};
    if (index < columns->topic_of.length)
        event->topic = forebay_text_from(columns->topics.data[columns->topic_of.data[index]]);
    event->key = (forebay_bytes){NULL, 0};
    if (index < columns->key_ends.length)
        event->key = forebay_cut(columns->keys, columns->key_ends.data[index], &event->next_.key);
    event->next_.header += event->headers;
    event->headers = forebay_count_headers(columns, event->next_.header, event->index);
    event->next_.index++;
    return true;
}

size_t forebay_batch_length(const forebay_batch *batch) {
    return batch->columns.ends.length;
}

forebay_header forebay_event_header(const forebay_event *event, size_t index) {
    if (index >= event->headers)
        FOREBAY_PANIC("header %zu was asked for, but the event has %zu", index, event->headers);
    const forebay_header_entry *entry = &event->batch->columns.headers.data[event->next_.header + index];
    return (forebay_header){forebay_text_from(entry->name), forebay_text_from(entry->value)};
}

bool forebay_payload_is(const forebay_event *event, const char *expected) {
    size_t length = strlen(expected);
    return event->payload.length == length && memcmp(event->payload.data, expected, length) == 0;
}
