/// The calls a host makes, and what it refuses.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../include/forebay/testing.h"
#include "demand.h"
#include "events.h"
#include "log.h"
#include "rejections.h"
#include "status.h"

forebay_context forebay_test_context = {
    .pipeline = {"pipeline", 8},
    .stage = {"stage", 5},
    .node = {"node", 4},
};

forebay_test_source_state forebay_test_source = {"source", 1, 1, 0};

/// Fails the test for what a host would refuse; the place is that of the call, which nobody knows here.
#define REFUSE(...) forebay_test_fail("host", 0, __VA_ARGS__)

/// A source and how many events it was asked for, in calls that succeeded and in the one under way.
typedef struct forebay_test_source_asked {
    struct forebay_test_source_asked *before;
    const char *source;
    uint32_t asked, now;
} forebay_test_source_asked;

static forebay_test_source_asked *forebay_test_sources_asked;

static forebay_test_source_asked *forebay_test_find_asked(const char *source) {
    forebay_test_source_asked *found = forebay_test_sources_asked;
    while (found && strcmp(found->source, source) != 0)
        found = found->before;
    return found;
}

/// Every source may be asked.
bool forebay_host_ask(forebay_text source, uint32_t count, forebay_text *problem) {
    (void)problem;
    forebay_test_source_asked *found = forebay_test_find_asked(source.data);
    if (!found) {
        found = forebay_arena_take(&forebay_call_arena, sizeof *found, sizeof(void *));
        const char *name = forebay_arena_text(&forebay_call_arena, source.data, source.length).data;
        *found = (forebay_test_source_asked){.before = forebay_test_sources_asked, .source = name};
        forebay_test_sources_asked = found;
    }
    found->now += count;
    return false;
}

uint32_t forebay_test_asked(const char *source) {
    forebay_test_source_asked *found = forebay_test_find_asked(source);
    return found ? found->asked : 0;
}

/// A host lets go of what a call asked for that failed.
static void forebay_test_settle_asked(bool counts) {
    for (forebay_test_source_asked *each = forebay_test_sources_asked; each; each = each->before) {
        each->asked += counts ? each->now : 0;
        each->now = 0;
    }
}

// What a call emits is kept until the test ends, so each call is given columns of its own, and the arena
// of the call is never emptied: a test is a short process.

static void forebay_test_begin(void) {
    forebay_emitted = (forebay_events){0};
    forebay_rejected = (forebay_rejections){0};
    forebay_error_clear();
}

forebay_events *forebay_test_events(void) {
    forebay_events *events = forebay_arena_take(&forebay_call_arena, sizeof *events, sizeof(void *));
    *events = (forebay_events){0};
    return events;
}

static const forebay_batch *forebay_test_batch_of(forebay_events *events) {
    forebay_batch *batch = forebay_arena_take(&forebay_call_arena, sizeof *batch, sizeof(void *));
    *batch = (forebay_batch){.columns = forebay_events_columns(events)};
    return batch;
}

static forebay_test_result forebay_test_ended(forebay_status status) {
    forebay_test_settle_asked(!status);
    if (status) {
        // Held on to, so that what looks for leaks sees none.
        *forebay_test_events() = forebay_emitted;
        forebay_emitted = (forebay_events){0};
    }
    forebay_text error = status ? forebay_error_text() : (forebay_text){"", 0};
    return (forebay_test_result){
        .status = status,
        .error = forebay_arena_text(&forebay_call_arena, error.data, error.length).data,
        .events = forebay_test_batch_of(&forebay_emitted),
        .answer = {(const uint8_t *)"", 0},
    };
}

forebay_events *forebay_test_texts(const char *const *texts) {
    forebay_events *events = forebay_test_events();
    for (; *texts; texts++)
        forebay_events_push(events, *texts, strlen(*texts));
    return events;
}

#ifdef FOREBAY_TEST_NO_STAGE
forebay_test_result forebay_test_emitted(forebay_events *events) {
    forebay_test_begin();
    forebay_test_result result = forebay_test_ended(FOREBAY_OK);
    result.events = forebay_test_batch_of(events);
    return result;
}
#else

forebay_test_result forebay_test_start(const char *config) {
    forebay_test_begin();
    forebay_test_context.config = (forebay_text){config, strlen(config)};
    return forebay_test_ended(stage_init(&forebay_test_context));
}

#ifdef FOREBAY_ROLE_PRODUCER
forebay_test_result forebay_test_demand(uint32_t demand) {
    forebay_test_begin();
    forebay_test_result result = forebay_test_ended(stage_handle_demand(demand, &forebay_emitted));
    size_t emitted = forebay_batch_length(result.events);
    if (emitted > demand)
        REFUSE("the stage emitted %zu events for a demand of %u; a host takes none of them", emitted, demand);
    return result;
}
#endif

#if defined(FOREBAY_ROLE_CONSUMER) || defined(FOREBAY_ROLE_PRODUCER_CONSUMER)
static void forebay_test_check_rejections(const forebay_test_result *result, size_t delivered) {
    for (size_t i = 0; i < result->rejections_length; i++) {
        uint32_t index = result->rejections[i].index;
        if (index >= delivered)
            REFUSE("a rejection of event %u, but %zu were delivered, counted from 0", index, delivered);
        for (size_t before = 0; before < i; before++)
            if (result->rejections[before].index == index)
                REFUSE("event %u was rejected twice; once is allowed", index);
    }
}

static void forebay_test_take_rejections(forebay_test_result *result) {
    size_t length = forebay_rejected.entries.length;
    const forebay_rejection_entry *entries = forebay_rejected.entries.data;
    forebay_test_rejection *rejections =
        forebay_arena_take(&forebay_call_arena, length * sizeof *rejections, sizeof(void *));
    for (size_t i = 0; i < length; i++)
        rejections[i] = (forebay_test_rejection){entries[i].index, entries[i].retry, entries[i].reason.data};
    result->rejections = rejections;
    result->rejections_length = length;
}

static forebay_delivery forebay_test_delivery(forebay_events *events) {
    forebay_run *run = forebay_arena_take(&forebay_call_arena, sizeof *run, sizeof(uint64_t));
    forebay_batch *batch = forebay_arena_take(&forebay_call_arena, sizeof *batch, sizeof(void *));
    *run = (forebay_run){forebay_test_source.next_seq, (uint32_t)events->ends.length};
    *batch = (forebay_batch){forebay_events_columns(events), {run, 1}};
    forebay_test_source.next_seq += events->ends.length;
    return (forebay_delivery){
        .source = {forebay_test_source.name, strlen(forebay_test_source.name)},
        .epoch = forebay_test_source.epoch,
        .attempt = forebay_test_source.attempt,
        .events = batch,
    };
}

forebay_test_result forebay_test_deliver(forebay_events *events) {
    forebay_test_begin();
    forebay_delivery delivery = forebay_test_delivery(events);
#ifdef FOREBAY_ROLE_CONSUMER
    forebay_test_result result = forebay_test_ended(stage_handle_events(&delivery, &forebay_rejected));
#else
    forebay_status status = stage_transform(&delivery, &forebay_emitted, &forebay_rejected);
    forebay_test_result result = forebay_test_ended(status);
#endif
    if (!result.status)
        forebay_test_take_rejections(&result);
    forebay_test_check_rejections(&result, forebay_batch_length(delivery.events));
    return result;
}
#endif

#if defined(FOREBAY_OPTIONAL_CHECKPOINT) || defined(FOREBAY_OPTIONAL_CALL)
static forebay_test_result forebay_test_answered(forebay_status status, const forebay_buffer *answer) {
    forebay_test_result result = forebay_test_ended(status);
    const char *bytes = status ? "" : (const char *)answer->data;
    size_t length = status ? 0 : answer->length;
    result.answer.data = (const uint8_t *)forebay_arena_text(&forebay_call_arena, bytes, length).data;
    result.answer.length = length;
    return result;
}
#endif

#ifdef FOREBAY_OPTIONAL_CHECKPOINT
forebay_test_result forebay_test_snapshot(void) {
    forebay_buffer snapshot = {0};
    forebay_test_begin();
    forebay_status status = stage_snapshot(&snapshot);
    forebay_test_result result = forebay_test_answered(status, &snapshot);
    forebay_buffer_free(&snapshot);
    return result;
}

forebay_test_result forebay_test_restore(const void *snapshot, size_t length) {
    forebay_test_begin();
    return forebay_test_ended(stage_restore((forebay_bytes){snapshot, length}));
}
#endif

#ifdef FOREBAY_OPTIONAL_TIMER
forebay_test_result forebay_test_tick(void) {
    forebay_test_begin();
    forebay_test_result result = forebay_test_ended(stage_handle_tick(&forebay_emitted));
#ifdef FOREBAY_ROLE_CONSUMER
    if (forebay_batch_length(result.events))
        REFUSE("a consumer emitted %zu events, expected none", forebay_batch_length(result.events));
#endif
    return result;
}
#endif

#ifdef FOREBAY_OPTIONAL_INGEST
forebay_test_result forebay_test_ingest(forebay_events *events) {
    forebay_test_begin();
    return forebay_test_ended(stage_handle_ingest(forebay_test_batch_of(events), &forebay_emitted));
}
#endif

#ifdef FOREBAY_OPTIONAL_CALL
forebay_test_result forebay_test_call(const char *request) {
    forebay_buffer answer = {0};
    forebay_test_begin();
    forebay_status status = stage_handle_call((forebay_bytes){(const uint8_t *)request, strlen(request)}, &answer);
    forebay_test_result result = forebay_test_answered(status, &answer);
    forebay_buffer_free(&answer);
    return result;
}
#endif

#ifdef FOREBAY_OPTIONAL_TERMINATE
void forebay_test_terminate(const char *reason) {
    forebay_test_begin();
    stage_terminate(reason);
}
#endif

#endif
