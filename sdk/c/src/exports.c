/// The functions the host calls, by the canonical ABI of the component model, and nothing more than the
/// stage's role and its optional interfaces ask for: FOREBAY_ROLE_... and FOREBAY_OPTIONAL_... are
/// defined by `forebay build`.
///
/// The host hands over lists in memory it takes with `cabi_realloc`: the arena of the call. What a call
/// returns is read by the host before it calls the post-return function, which empties the arena and
/// the columns. So nothing is freed piece by piece and nothing can leak from call to call.
#include <string.h>

#include "../include/forebay/log.h"
#include "../include/forebay/stage.h"
#include "batch.h"
#include "events.h"
#include "log.h"
#include "memory.h"
#include "rejections.h"
#include "status.h"

#define FOREBAY_EXPORT(interface, function)                                                                            \
    __attribute__((export_name("forebay:stage/" interface "@" FOREBAY_WIT_VERSION "#" function)))
#define FOREBAY_AFTER(interface, function)                                                                             \
    __attribute__((export_name("cabi_post_forebay:stage/" interface "@" FOREBAY_WIT_VERSION "#" function)))

typedef struct {
    const void *data;
    size_t length;
} forebay_list;

typedef struct {
    forebay_list source;
    uint64_t epoch;
    uint32_t attempt;
    struct {
        const forebay_run *data;
        size_t length;
    } seqs;
    forebay_columns events;
} forebay_abi_delivery;

typedef struct {
    forebay_columns events;
    forebay_list rejections;
} forebay_abi_output;

/// A result whose error is a text.
typedef struct {
    uint8_t is_error;
    forebay_list value;
} forebay_abi_answer;

/// A result whose error is a `stage-error`.
typedef struct {
    uint8_t is_error;
    union {
        forebay_columns events;
        forebay_abi_output output;
        forebay_list rejections;
        struct {
            uint8_t kind;
            forebay_list text;
        } error;
    } value;
} forebay_abi_outcome;

_Static_assert(sizeof(forebay_columns) == 56 && sizeof(forebay_header_entry) == 20, "as the WIT's `batch`");
_Static_assert(sizeof(forebay_rejection_entry) == 16 && sizeof(forebay_run) == 16, "as the WIT's `rejection`, `seqs`");
_Static_assert(sizeof(forebay_abi_delivery) == 88, "as the WIT's `delivery`");
_Static_assert(sizeof(forebay_abi_outcome) == 68 && sizeof(forebay_abi_answer) == 12, "as the WIT's results");

/// What the call under way returns. There is one call at a time.
static forebay_abi_outcome forebay_outcome;
static forebay_abi_answer forebay_answer;
static forebay_buffer forebay_answered;

/// Called by the host before a call, when nothing may be logged: a failure is a bare trap.
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t alignment,
                                                                 size_t new_size) {
    void *room = forebay_arena_try(&forebay_call_arena, new_size, alignment);
    if (!room)
        __builtin_trap();
    if (old_size)
        memcpy(room, old, old_size < new_size ? old_size : new_size);
    return room;
}

/// Memory for the WASI adapter, which keeps it for as long as the instance lives.
__attribute__((export_name("cabi_realloc_adapter"))) void *cabi_realloc_adapter(void *old, size_t old_size,
                                                                                 size_t alignment, size_t new_size) {
    void *room = forebay_arena_try(&forebay_instance_arena, new_size, alignment);
    if (!room)
        __builtin_trap();
    if (old_size)
        memcpy(room, old, old_size < new_size ? old_size : new_size);
    return room;
}

static void forebay_call_is_over(void) {
    forebay_events_clear(&forebay_emitted);
    forebay_column_clear(&forebay_rejected.entries, sizeof(forebay_rejection_entry));
    forebay_buffer_clear(&forebay_answered);
    forebay_error_clear();
    forebay_arena_reset(&forebay_call_arena);
}

static forebay_list forebay_error_list(void) {
    forebay_text text = forebay_error_text();
    return (forebay_list){text.data, text.length};
}

/// An answer of `value`, or the error if there is one.
static forebay_abi_answer *forebay_answer_with(forebay_status status, forebay_list value) {
    forebay_answer = (forebay_abi_answer){status != FOREBAY_OK, status ? forebay_error_list() : value};
    return &forebay_answer;
}

static inline forebay_abi_outcome *forebay_failed(forebay_status status) {
    forebay_outcome.is_error = true;
    forebay_outcome.value.error.kind = (uint8_t)(status - FOREBAY_RETRY);
    forebay_outcome.value.error.text = forebay_error_list();
    return &forebay_outcome;
}

static inline forebay_abi_outcome *forebay_emit(forebay_status status) {
    if (status)
        return forebay_failed(status);
    forebay_outcome.is_error = false;
    forebay_outcome.value.events = forebay_events_columns(&forebay_emitted);
    return &forebay_outcome;
}

// The order of the parameters is that of the record `context`.
FOREBAY_EXPORT("lifecycle", "init")
forebay_abi_answer *forebay_export_init(const char *pipeline, size_t pipeline_length, const char *stage,
                                        size_t stage_length, const char *node, size_t node_length, uint32_t instance,
                                        const char *config, size_t config_length, const forebay_header *attributes,
                                        size_t attributes_length) {
    // The arena ends every text with a NUL, but the host asks it for none when a text is empty.
    forebay_context context = {
        .pipeline = {pipeline_length ? pipeline : "", pipeline_length},
        .stage = {stage_length ? stage : "", stage_length},
        .node = {node_length ? node : "", node_length},
        .instance = instance,
        .config = {config_length ? config : "", config_length},
        .attributes = attributes,
        .attributes_length = attributes_length,
    };
    return forebay_answer_with(stage_init(&context), (forebay_list){NULL, 0});
}
FOREBAY_AFTER("lifecycle", "init") void forebay_after_init(void *result) {
    (void)result;
    forebay_call_is_over();
}

#ifdef FOREBAY_ROLE_PRODUCER
FOREBAY_EXPORT("produce", "handle-demand") forebay_abi_outcome *forebay_export_handle_demand(uint32_t demand) {
    return forebay_emit(stage_handle_demand(demand, &forebay_emitted));
}
FOREBAY_AFTER("produce", "handle-demand") void forebay_after_handle_demand(void *result) {
    (void)result;
    forebay_call_is_over();
}
#endif

#if defined(FOREBAY_ROLE_CONSUMER) || defined(FOREBAY_ROLE_PRODUCER_CONSUMER)
static forebay_delivery forebay_delivered(const forebay_abi_delivery *given, forebay_batch *batch) {
    *batch = (forebay_batch){given->events, {given->seqs.data, given->seqs.length}};
    return (forebay_delivery){
        .source = {given->source.length ? given->source.data : "", given->source.length},
        .epoch = given->epoch,
        .attempt = given->attempt,
        .events = batch,
    };
}

static forebay_list forebay_rejection_list(void) {
    return (forebay_list){forebay_rejected.entries.data, forebay_rejected.entries.length};
}
#endif

#ifdef FOREBAY_ROLE_CONSUMER
FOREBAY_EXPORT("consume", "handle-events")
forebay_abi_outcome *forebay_export_handle_events(const forebay_abi_delivery *given) {
    forebay_batch batch;
    forebay_delivery delivery = forebay_delivered(given, &batch);
    forebay_status status = stage_handle_events(&delivery, &forebay_rejected);
    if (status)
        return forebay_failed(status);
    forebay_outcome.is_error = false;
    forebay_outcome.value.rejections = forebay_rejection_list();
    return &forebay_outcome;
}
FOREBAY_AFTER("consume", "handle-events") void forebay_after_handle_events(void *result) {
    (void)result;
    forebay_call_is_over();
}
#endif

#ifdef FOREBAY_ROLE_PRODUCER_CONSUMER
FOREBAY_EXPORT("transform", "handle-events")
forebay_abi_outcome *forebay_export_transform(const forebay_abi_delivery *given) {
    forebay_batch batch;
    forebay_delivery delivery = forebay_delivered(given, &batch);
    forebay_status status = stage_transform(&delivery, &forebay_emitted, &forebay_rejected);
    if (status)
        return forebay_failed(status);
    forebay_outcome.is_error = false;
    forebay_outcome.value.output.events = forebay_events_columns(&forebay_emitted);
    forebay_outcome.value.output.rejections = forebay_rejection_list();
    return &forebay_outcome;
}
FOREBAY_AFTER("transform", "handle-events") void forebay_after_transform(void *result) {
    (void)result;
    forebay_call_is_over();
}
#endif

#ifdef FOREBAY_OPTIONAL_CHECKPOINT
FOREBAY_EXPORT("checkpoint", "snapshot") forebay_abi_answer *forebay_export_snapshot(void) {
    forebay_status status = stage_snapshot(&forebay_answered);
    return forebay_answer_with(status, (forebay_list){forebay_answered.data, forebay_answered.length});
}
FOREBAY_AFTER("checkpoint", "snapshot") void forebay_after_snapshot(void *result) {
    (void)result;
    forebay_call_is_over();
}
FOREBAY_EXPORT("checkpoint", "restore")
forebay_abi_answer *forebay_export_restore(const uint8_t *snapshot, size_t length) {
    return forebay_answer_with(stage_restore((forebay_bytes){snapshot, length}), (forebay_list){NULL, 0});
}
FOREBAY_AFTER("checkpoint", "restore") void forebay_after_restore(void *result) {
    (void)result;
    forebay_call_is_over();
}
#endif

#ifdef FOREBAY_OPTIONAL_TIMER
FOREBAY_EXPORT("timer", "handle-tick") forebay_abi_outcome *forebay_export_handle_tick(void) {
    return forebay_emit(stage_handle_tick(&forebay_emitted));
}
FOREBAY_AFTER("timer", "handle-tick") void forebay_after_handle_tick(void *result) {
    (void)result;
    forebay_call_is_over();
}
#endif

#ifdef FOREBAY_OPTIONAL_INGEST
// The record `batch` has few enough fields to be handed over as parameters, in its order.
FOREBAY_EXPORT("ingest", "handle-ingest")
forebay_abi_outcome *forebay_export_handle_ingest(const uint8_t *payloads, size_t payloads_length,
                                                  const uint32_t *ends, size_t ends_length, const forebay_text *topics,
                                                  size_t topics_length, const uint16_t *topic_of,
                                                  size_t topic_of_length, const uint8_t *keys, size_t keys_length,
                                                  const uint32_t *key_ends, size_t key_ends_length,
                                                  const forebay_header_entry *headers, size_t headers_length) {
    forebay_batch batch = {.columns = {
                               .payloads = {payloads, payloads_length},
                               .ends = {ends, ends_length},
                               .topics = {topics, topics_length},
                               .topic_of = {topic_of, topic_of_length},
                               .keys = {keys, keys_length},
                               .key_ends = {key_ends, key_ends_length},
                               .headers = {headers, headers_length},
                           }};
    return forebay_emit(stage_handle_ingest(&batch, &forebay_emitted));
}
FOREBAY_AFTER("ingest", "handle-ingest") void forebay_after_handle_ingest(void *result) {
    (void)result;
    forebay_call_is_over();
}
#endif

#ifdef FOREBAY_OPTIONAL_CALL
FOREBAY_EXPORT("call", "handle-call")
forebay_abi_answer *forebay_export_handle_call(const uint8_t *request, size_t length) {
    forebay_status status = stage_handle_call((forebay_bytes){request, length}, &forebay_answered);
    return forebay_answer_with(status, (forebay_list){forebay_answered.data, forebay_answered.length});
}
FOREBAY_AFTER("call", "handle-call") void forebay_after_handle_call(void *result) {
    (void)result;
    forebay_call_is_over();
}
#endif

#ifdef FOREBAY_OPTIONAL_TERMINATE
FOREBAY_EXPORT("terminate", "terminate") void forebay_export_terminate(const char *reason, size_t length) {
    stage_terminate(length ? reason : "");
    forebay_call_is_over();
}
#endif
