/// Joins payloads by commas, a few at a time, and what is left when the clock says so.
#include <forebay.h>

static forebay_buffer joined;
static int64_t size, kept;

forebay_status stage_init(const forebay_context *context) {
    forebay_config *config = forebay_config_read(context);
    size = forebay_config_int_within(config, "size", 3, 1, INT64_MAX);
    kept = 0;
    forebay_buffer_clear(&joined);
    return forebay_config_done(config);
}

static void emit_joined(forebay_events *events) {
    forebay_events_push(events, joined.data, joined.length);
    forebay_buffer_clear(&joined);
    kept = 0;
}

forebay_status stage_transform(const forebay_delivery *delivery, forebay_events *events,
                               forebay_rejections *rejections) {
    (void)rejections;
    FOREBAY_FOR_EACH(event, delivery->events) {
        if (kept > 0)
            forebay_buffer_append(&joined, ",", 1);
        forebay_buffer_append(&joined, event.payload.data, event.payload.length);
        if (++kept == size)
            emit_joined(events);
    }
    return FOREBAY_OK;
}

forebay_status stage_handle_tick(forebay_events *events) {
    if (kept > 0)
        emit_joined(events);
    return FOREBAY_OK;
}
