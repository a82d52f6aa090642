/// Rejected events, laid out as the canonical ABI hands them over.
#ifndef FOREBAY_SRC_REJECTIONS_H
#define FOREBAY_SRC_REJECTIONS_H

#include "../include/forebay/events.h"
#include "memory.h"

/// The record `rejection` of the WIT.
typedef struct {
    uint32_t index;
    bool retry;
    forebay_text reason;
} forebay_rejection_entry;

struct forebay_rejections {
    forebay_column entries;
};

/// The rejections of the call under way.
extern forebay_rejections forebay_rejected;

#endif
