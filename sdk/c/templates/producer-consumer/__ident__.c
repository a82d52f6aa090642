/// Makes a greeting of each name.
#include <forebay.h>

static const char *greeting;

forebay_status stage_init(const forebay_context *context) {
    forebay_config *config = forebay_config_read(context);
    greeting = forebay_config_text(config, "greeting", "Hello");
    return forebay_config_done(config);
}

// Pushes what it makes of a batch: fewer events, as many, or more.
forebay_status stage_transform(const forebay_delivery *delivery, forebay_events *events,
                               forebay_rejections *rejections) {
    FOREBAY_FOR_EACH(event, delivery->events) {
        if (!forebay_is_utf8(event.payload)) {
            forebay_reject(rejections, event.index, "a name is UTF-8");
            continue;
        }
        forebay_events_push_text(events, "%s, %.*s!", greeting, (int)event.payload.length,
                                 (const char *)event.payload.data);
    }
    return FOREBAY_OK;
}
