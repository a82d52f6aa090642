/// The columns of a batch, laid out as the canonical ABI hands them over.
#ifndef FOREBAY_SRC_BATCH_H
#define FOREBAY_SRC_BATCH_H

#include "../include/forebay/batch.h"

typedef struct {
    uint32_t event;
    forebay_text name;
    forebay_text value;
} forebay_header_entry;

/// The record `batch` of the WIT, field by field.
typedef struct {
    forebay_bytes payloads;
    struct {
        const uint32_t *data;
        size_t length;
    } ends;
    struct {
        const forebay_text *data;
        size_t length;
    } topics;
    struct {
        const uint16_t *data;
        size_t length;
    } topic_of;
    forebay_bytes keys;
    struct {
        const uint32_t *data;
        size_t length;
    } key_ends;
    struct {
        const forebay_header_entry *data;
        size_t length;
    } headers;
} forebay_columns;

/// Events that are numbered `first`, `first + 1` and so on.
typedef struct {
    uint64_t first;
    uint32_t count;
} forebay_run;

struct forebay_batch {
    forebay_columns columns;
    /// The numbers of the events. None for events that have none yet.
    struct {
        const forebay_run *data;
        size_t length;
    } runs;
};

#endif
