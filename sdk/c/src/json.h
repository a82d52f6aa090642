/// Reading JSON into any arena.
#ifndef FOREBAY_SRC_JSON_H
#define FOREBAY_SRC_JSON_H

#include "../include/forebay/json.h"
#include "memory.h"

/// As `forebay_json_read`; values and texts live in `arena`.
forebay_status forebay_json_read_into(forebay_arena *arena, forebay_bytes source, const forebay_json **value);

#endif
