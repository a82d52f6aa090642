/// Lines for the node's log, and the end of an instance that found itself to be wrong.
#ifndef FOREBAY_LOG_H
#define FOREBAY_LOG_H

#include "values.h"

#ifdef __cplusplus
extern "C" {
#endif

/// How much a log line matters.
typedef enum {
    /// Each step, to follow one event.
    FOREBAY_TRACE = 0,
    /// For the author of the stage.
    FOREBAY_DEBUG = 1,
    /// For whoever runs it, when all is well.
    FOREBAY_INFO = 2,
    /// Something is off; the stage goes on.
    FOREBAY_WARN = 3,
    /// Something failed.
    FOREBAY_ERROR = 4,
} forebay_level;

/// Writes one line to the node's log, formatted as by `printf`. The host tags it with stage and
/// node, cuts it at 8 KiB, and drops lines of a stage that logs too fast.
void forebay_log(forebay_level level, const char *format, ...) FOREBAY_PRINTF(2, 3);

/// The same for a text as it is.
void forebay_log_text(forebay_level level, const char *text, size_t length);

#define forebay_trace(...) forebay_log(FOREBAY_TRACE, __VA_ARGS__)
#define forebay_debug(...) forebay_log(FOREBAY_DEBUG, __VA_ARGS__)
#define forebay_info(...) forebay_log(FOREBAY_INFO, __VA_ARGS__)
#define forebay_warn(...) forebay_log(FOREBAY_WARN, __VA_ARGS__)
#define forebay_error(...) forebay_log(FOREBAY_ERROR, __VA_ARGS__)

/// Ends the instance: logs the place in the source and the text, formatted as by `printf`, with
/// level error, and traps. The host starts another instance by the restart policy.
#define FOREBAY_PANIC(...) forebay_panic_at(__FILE__, __LINE__, __VA_ARGS__)

/// Panics unless `condition` holds. `assert` of <assert.h> logs as well, and does nothing under
/// NDEBUG, which `forebay build` does not define; this one always checks.
#define FOREBAY_ASSERT(condition)                                                                  \
    ((condition) ? (void)0 : forebay_panic_at(__FILE__, __LINE__, "`%s` does not hold", #condition))

#if defined(__GNUC__) || defined(__clang__)
__attribute__((noreturn))
#endif
void forebay_panic_at(const char *file, int line, const char *format, ...) FOREBAY_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif

#endif
