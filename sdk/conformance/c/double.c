/// Emits every event as often as it is told to.
#include <forebay.h>

static int64_t copies;

forebay_status stage_init(const forebay_context *context) {
    forebay_config *config = forebay_config_read(context);
    copies = forebay_config_int_within(config, "copies", 2, 0, 1000);
    return forebay_config_done(config);
}

forebay_status stage_transform(const forebay_delivery *delivery, forebay_events *events,
                               forebay_rejections *rejections) {
    (void)rejections;
    FOREBAY_FOR_EACH(event, delivery->events) {
        for (int64_t i = 0; i < copies; i++)
            forebay_events_push_event(events, &event);
    }
    return FOREBAY_OK;
}
