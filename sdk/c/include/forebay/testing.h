/// Tests a stage natively: no WebAssembly, no host. `forebay test` links `test_NAME.c` with the stage
/// NAME and runs it; every test is a process of its own, so that each begins with a fresh instance.
///
///     #include <forebay/testing.h>
///
///     TEST(counts_from_where_it_is_told_to) {
///         CHECK_OK(forebay_test_start("{\"start\": 5}"));
///         CHECK_TEXTS(forebay_test_demand(3), "5", "6", "7");
///     }
///
/// The functions make the calls a host makes, refuse what a host refuses by failing the test, and keep
/// what the stage logged and asked for. What they give is good until the test ends.
#ifndef FOREBAY_TESTING_H
#define FOREBAY_TESTING_H

#include "../forebay.h"

#ifdef __cplusplus
extern "C" {
#endif

/// One event that was rejected.
typedef struct {
    uint32_t index;
    bool retry;
    const char *reason;
} forebay_test_rejection;

/// What a call gave.
typedef struct {
    /// How it ended, and the text of its error, "" without one.
    forebay_status status;
    const char *error;
    /// The events it emitted; none after an error.
    const forebay_batch *events;
    /// The events it rejected.
    const forebay_test_rejection *rejections;
    size_t rejections_length;
    /// The snapshot, or the answer to a request, followed by a NUL.
    forebay_bytes answer;
} forebay_test_result;

/// What the stage is told about itself, but its config: pipeline `pipeline`, stage `stage`, node
/// `node`, instance 0, no attributes, unless set otherwise before the start.
extern forebay_context forebay_test_context;

/// Where deliveries come from: source `source`, epoch 1, attempt 1, numbers from 0 unless set otherwise.
typedef struct {
    const char *name;
    uint64_t epoch;
    uint32_t attempt;
    uint64_t next_seq;
} forebay_test_source_state;
extern forebay_test_source_state forebay_test_source;

/// Starts the stage with a config as JSON; "null" is a pipeline file without one.
forebay_test_result forebay_test_start(const char *config);
/// Asks a producer for events. Fails the test when it emits more than `demand`.
forebay_test_result forebay_test_demand(uint32_t demand);
/// Hands events to a consumer or producer-consumer, numbered as by the source's host. Fails the test
/// when an event is rejected that was not delivered, or one is rejected twice.
forebay_test_result forebay_test_deliver(forebay_events *events);
/// The calls of the optional interfaces.
forebay_test_result forebay_test_snapshot(void);
forebay_test_result forebay_test_restore(const void *snapshot, size_t length);
forebay_test_result forebay_test_tick(void);
forebay_test_result forebay_test_ingest(forebay_events *events);
forebay_test_result forebay_test_call(const char *request);
void forebay_test_terminate(const char *reason);

/// Events to hand over, to be filled by `forebay_events_push` and its like.
forebay_events *forebay_test_events(void);
/// Events with these payloads.
#define TEXTS(...) forebay_test_texts((const char *const[]){__VA_ARGS__, NULL})
forebay_events *forebay_test_texts(const char *const *texts);

/// How many lines were logged, and one of them by its index, from the first.
size_t forebay_test_logs(void);
const char *forebay_test_log(size_t index, forebay_level *level);

/// How many events the stage asked a source for since the test began. What a call asked for that failed does not count: a
/// host lets go of it too.
uint32_t forebay_test_asked(const char *source);

/// Defines a test. Its name says what holds.
#define TEST(name)                                                                                 \
    static void name(void);                                                                        \
    __attribute__((constructor)) static void forebay_test_register_##name(void) {                  \
        forebay_test_register(#name, name);                                                        \
    }                                                                                              \
    static void name(void)

/// Ends the test as failed unless the condition holds.
#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : forebay_test_fail(__FILE__, __LINE__, "`%s` does not hold", #condition))
/// Unless a call succeeded.
#define CHECK_OK(result) forebay_test_check_ok(__FILE__, __LINE__, result)
/// Unless a call ended with this error: `CHECK_ERROR(result, FOREBAY_FATAL, "the disk is full")`.
#define CHECK_ERROR(result, status, text) forebay_test_check_error(__FILE__, __LINE__, result, status, text)
/// Unless a call succeeded and emitted events with exactly these payloads, or none.
#define CHECK_TEXTS(result, ...)                                                                   \
    forebay_test_check_texts(__FILE__, __LINE__, result, (const char *const[]){__VA_ARGS__, NULL})
#define CHECK_NO_EVENTS(result)                                                                    \
    forebay_test_check_texts(__FILE__, __LINE__, result, (const char *const[]){NULL})
/// Unless two texts are equal.
#define CHECK_TEXT(found, expected) forebay_test_check_text(__FILE__, __LINE__, found, expected)
/// Unless the stage logged exactly this line since the test began.
#define CHECK_LOGGED(level, text) forebay_test_check_logged(__FILE__, __LINE__, level, text)
/// Unless the statement ends its process, by a panic or by a check that fails, and says this text
/// when it does. It runs in a process of its own: what it changes is not seen afterwards.
#define CHECK_ENDS(statement, text)                                                                \
    do {                                                                                           \
        if (forebay_test_fork()) {                                                                 \
            statement;                                                                             \
            forebay_test_survived();                                                               \
        }                                                                                          \
        forebay_test_check_ended(__FILE__, __LINE__, text);                                        \
    } while (0)

// What the macros expand to.
void forebay_test_register(const char *name, void (*run)(void));
__attribute__((noreturn)) void forebay_test_fail(const char *file, int line, const char *format, ...)
    FOREBAY_PRINTF(3, 4);
void forebay_test_check_ok(const char *file, int line, forebay_test_result result);
void forebay_test_check_error(const char *file, int line, forebay_test_result result, forebay_status status,
                              const char *text);
void forebay_test_check_texts(const char *file, int line, forebay_test_result result, const char *const *texts);
void forebay_test_check_text(const char *file, int line, const char *found, const char *expected);
void forebay_test_check_logged(const char *file, int line, forebay_level level, const char *text);
bool forebay_test_fork(void);
__attribute__((noreturn)) void forebay_test_survived(void);
void forebay_test_check_ended(const char *file, int line, const char *text);

#ifdef __cplusplus
}
#endif

#endif
