/// Joins payloads by commas, a few at a time, and what is left when the clock says so.
#include <forebay.h>

static forebay_buffer joined;
static int64_t size, kept;
/// The source that it asks for as many events as it joins; NULL for none.
static const char *source;

forebay_status stage_init(const forebay_context *context) {
    forebay_config *config = forebay_config_read(context);
    size = forebay_config_int_within(config, "size", 3, 1, UINT32_MAX);
    source = forebay_config_text(config, "ask", NULL);
    kept = 0;
    forebay_buffer_clear(&joined);
    forebay_status status = forebay_config_done(config);
    return status || !source ? status : forebay_ask(source, (uint32_t)size);
}

static forebay_status emit_joined(forebay_events *events) {
    uint32_t count = (uint32_t)kept;
    forebay_events_push(events, joined.data, joined.length);
    forebay_buffer_clear(&joined);
    kept = 0;
    return source ? forebay_ask(source, count) : FOREBAY_OK;
}

forebay_status stage_transform(const forebay_delivery *delivery, forebay_events *events,
                               forebay_rejections *rejections) {
    (void)rejections;
    FOREBAY_FOR_EACH(event, delivery->events) {
        if (kept > 0)
            forebay_buffer_append(&joined, ",", 1);
        forebay_buffer_append(&joined, event.payload.data, event.payload.length);
        if (++kept == size) {
            forebay_status status = emit_joined(events);
            if (status)
                return status;
        }
    }
    return FOREBAY_OK;
}

forebay_status stage_handle_tick(forebay_events *events) {
    return kept > 0 ? emit_joined(events) : FOREBAY_OK;
}
