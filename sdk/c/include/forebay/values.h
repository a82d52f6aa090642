/// Texts, bytes and the outcome of a call.
#ifndef FOREBAY_VALUES_H
#define FOREBAY_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define FOREBAY_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define FOREBAY_PRINTF(text, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// Bytes that belong to somebody else.
typedef struct {
    const uint8_t *data;
    size_t length;
} forebay_bytes;

/// A text in UTF-8 that belongs to somebody else. `data[length]` is always NUL, so `data` can be
/// given to `printf` and `strcmp`.
typedef struct {
    const char *data;
    size_t length;
} forebay_text;

/// Whether a text says exactly this.
bool forebay_text_is(forebay_text text, const char *expected);

/// Whether bytes are UTF-8 by RFC 3629: no surrogates, no overlong forms.
bool forebay_is_utf8(forebay_bytes bytes);

/// How a call ended. Its values but FOREBAY_OK are made by the functions below, which keep the text
/// that goes with them until the call returns.
typedef enum {
    FOREBAY_OK = 0,
    /// A passing trouble: the host makes the call again, later.
    FOREBAY_RETRY = 1,
    /// The stage cannot go on: the host ends this instance and applies the restart policy.
    FOREBAY_FATAL = 2,
    /// Anything else; treated as fatal. From `stage_init`, `stage_restore`, `stage_snapshot` and
    /// `stage_handle_call`, whose errors are bare texts, it makes no difference which one is returned.
    FOREBAY_OTHER = 3,
} forebay_status;

/// Keeps a text, formatted as by `printf`, and gives FOREBAY_RETRY:
/// `return forebay_retry("no answer from %s", host);`
forebay_status forebay_retry(const char *format, ...) FOREBAY_PRINTF(1, 2);

/// Keeps a text, formatted as by `printf`, and gives FOREBAY_FATAL.
forebay_status forebay_fatal(const char *format, ...) FOREBAY_PRINTF(1, 2);

/// Keeps a text, formatted as by `printf`, and gives FOREBAY_OTHER.
forebay_status forebay_other(const char *format, ...) FOREBAY_PRINTF(1, 2);

/// The text kept by the last of these functions; empty when this call kept none.
forebay_text forebay_error_text(void);

#ifdef __cplusplus
}
#endif

#endif
