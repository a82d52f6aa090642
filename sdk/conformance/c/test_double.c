#include <forebay/testing.h>

TEST(every_event_is_emitted_twice_with_all_that_it_has) {
    CHECK_OK(forebay_test_start("null"));
    forebay_events *events = TEXTS("a", "b");
    forebay_events_topic(events, "t");
    forebay_events_key(events, "k", 1);
    forebay_events_header(events, "n", "v");
    forebay_test_result result = forebay_test_deliver(events);
    CHECK_TEXTS(result, "a", "a", "b", "b");
    FOREBAY_FOR_EACH(event, result.events) {
        bool second = event.index > 1;
        CHECK_TEXT(event.topic.data, second ? "t" : "");
        CHECK(event.key.length == second && event.headers == second);
    }
}

TEST(copies_may_be_none) {
    CHECK_OK(forebay_test_start("{\"copies\": 0}"));
    CHECK_NO_EVENTS(forebay_test_deliver(TEXTS("a")));
}

TEST(too_many_copies_are_refused) {
    CHECK_ERROR(forebay_test_start("{\"copies\": 1001}"), FOREBAY_OTHER,
                "config of stage `stage`: at `copies`: found number 1001, expected a whole number from 0 to 1000");
}
