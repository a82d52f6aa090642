/// A strict reader of JSON (RFC 8259), for requests to `stage_handle_call` and for payloads.
#ifndef FOREBAY_JSON_H
#define FOREBAY_JSON_H

#include "values.h"

#ifdef __cplusplus
extern "C" {
#endif

/// What a value is.
typedef enum {
    FOREBAY_JSON_NULL,
    FOREBAY_JSON_BOOL,
    FOREBAY_JSON_NUMBER,
    FOREBAY_JSON_TEXT,
    FOREBAY_JSON_LIST,
    FOREBAY_JSON_TABLE,
} forebay_json_kind;

/// A value. Those of a list or table are a chain: `first`, its `next`, and so on.
typedef struct forebay_json {
    forebay_json_kind kind;
    /// Of a value in a table: its key.
    forebay_text key;
    /// Of FOREBAY_JSON_BOOL.
    bool boolean;
    /// Of FOREBAY_JSON_TEXT: the text, escapes decoded. Of FOREBAY_JSON_NUMBER: as it was written.
    forebay_text text;
    /// Of a list or table: its first value, or NULL.
    const struct forebay_json *first;
    /// The value after this one in its list or table, or NULL.
    const struct forebay_json *next;
    /// Of a list or table: how many values it has.
    size_t length;
} forebay_json;

/// Lists and tables within each other at most; deeper ones are an error.
enum { FOREBAY_JSON_DEPTH_MAX = 64 };

/// Reads one value. It is good until the call of the stage returns.
///
/// An error (FOREBAY_OTHER) says what was found, what was expected, and at which byte. Beside what
/// the RFC refuses these are errors: a key that occurs twice in a table, text that is not UTF-8,
/// half of a surrogate pair, and more than FOREBAY_JSON_DEPTH_MAX levels.
forebay_status forebay_json_read(forebay_bytes source, const forebay_json **value);

/// The value of a key in a table; NULL when the table has no such key, or `value` is no table.
const forebay_json *forebay_json_get(const forebay_json *value, const char *key);

/// The whole number a value is. False when it is none, or does not fit: `1.0` and `1e3` are none.
bool forebay_json_int(const forebay_json *value, int64_t *number);

/// The number a value is, rounded to the nearest double. False when it is none, or overflows.
bool forebay_json_double(const forebay_json *value, double *number);

/// What a value is, for an error: `text "x"`, `number 1.5`, `a list`.
forebay_text forebay_json_describe(const forebay_json *value);

#ifdef __cplusplus
}
#endif

#endif
