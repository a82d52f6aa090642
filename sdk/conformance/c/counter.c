/// Counts, lets numbers be pushed in from outside, and tells and sets where it stands.
#include "numbers.h"

static numbers self;

forebay_status stage_init(const forebay_context *context) {
    return numbers_start(&self, context);
}

forebay_status stage_handle_demand(uint32_t demand, forebay_events *events) {
    return numbers_emit(&self, demand, events);
}

forebay_status stage_handle_ingest(const forebay_batch *incoming, forebay_events *events) {
    FOREBAY_FOR_EACH(event, incoming) {
        forebay_events_push_event(events, &event);
        forebay_events_topic(events, "ingested");
    }
    return FOREBAY_OK;
}

forebay_status stage_handle_call(forebay_bytes request, forebay_buffer *answer) {
    const forebay_json *asked, *set;
    if (forebay_json_read(request, &asked) || asked->kind != FOREBAY_JSON_TABLE || asked->length > 1)
        return forebay_other("unknown request: %.*s", (int)request.length, (const char *)request.data);
    set = forebay_json_get(asked, "set");
    if (asked->length == 1 && !(set && forebay_json_int(set, &self.next)))
        return forebay_other("unknown request: %.*s", (int)request.length, (const char *)request.data);
    forebay_buffer_print(answer, "{\"next\":%lld}", (long long)self.next);
    return FOREBAY_OK;
}
