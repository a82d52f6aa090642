/// Passes on what contains a text, and rejects what is no text.
#include <forebay.h>
#include <string.h>

static const char *wanted;

forebay_status stage_init(const forebay_context *context) {
    forebay_config *config = forebay_config_read(context);
    wanted = forebay_config_text(config, "contains", "");
    return forebay_config_done(config);
}

static bool contains(forebay_bytes payload, const char *text) {
    size_t length = strlen(text);
    for (size_t at = 0; at + length <= payload.length; at++)
        if (memcmp(payload.data + at, text, length) == 0)
            return true;
    return false;
}

forebay_status stage_transform(const forebay_delivery *delivery, forebay_events *events,
                               forebay_rejections *rejections) {
    FOREBAY_FOR_EACH(event, delivery->events) {
        if (!forebay_is_utf8(event.payload))
            forebay_reject(rejections, event.index, "not UTF-8");
        else if (forebay_payload_is(&event, "later"))
            forebay_reject_for_now(rejections, event.index, "later");
        else if (contains(event.payload, wanted))
            forebay_events_push_event(events, &event);
    }
    return FOREBAY_OK;
}
