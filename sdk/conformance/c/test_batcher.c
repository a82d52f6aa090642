#include <forebay/testing.h>

TEST(payloads_are_joined_when_there_are_enough) {
    CHECK_OK(forebay_test_start("null"));
    CHECK_NO_EVENTS(forebay_test_deliver(TEXTS("a", "b")));
    CHECK_TEXTS(forebay_test_deliver(TEXTS("c", "d", "", "e", "f")), "a,b,c", "d,,e");
}

TEST(the_clock_emits_the_rest_once) {
    CHECK_OK(forebay_test_start("{\"size\": 10}"));
    CHECK_NO_EVENTS(forebay_test_tick());
    CHECK_NO_EVENTS(forebay_test_deliver(TEXTS("a", "b")));
    CHECK_TEXTS(forebay_test_tick(), "a,b");
    CHECK_NO_EVENTS(forebay_test_tick());
}

TEST(an_empty_payload_is_an_event_too) {
    CHECK_OK(forebay_test_start("{\"size\": 1}"));
    CHECK_TEXTS(forebay_test_deliver(TEXTS("", "a")), "", "a");
}

TEST(no_size_is_refused) {
    CHECK_ERROR(forebay_test_start("{\"size\": 0}"), FOREBAY_OTHER,
                "config of stage `stage`: at `size`: found number 0, expected a whole number from 1 to 4294967295");
}

TEST(as_many_as_are_joined_are_asked_for) {
    CHECK_OK(forebay_test_start("{\"size\": 2, \"ask\": \"source\"}"));
    CHECK(forebay_test_asked("source") == 2);
    CHECK_TEXTS(forebay_test_deliver(TEXTS("a", "b", "c")), "a,b");
    CHECK(forebay_test_asked("source") == 4);
    CHECK_TEXTS(forebay_test_tick(), "c");
    CHECK(forebay_test_asked("source") == 5);
}
