#include <forebay/testing.hpp>

using namespace forebay::testing;

TEST(payloads_are_joined_when_there_are_enough) {
    CHECK_OK(start("null"));
    CHECK_NO_EVENTS(deliver(TEXTS("a", "b")));
    CHECK_TEXTS(deliver(TEXTS("c", "d", "", "e", "f")), "a,b,c", "d,,e");
}

TEST(the_clock_emits_the_rest_once) {
    CHECK_OK(start(R"({"size": 10})"));
    CHECK_NO_EVENTS(tick());
    CHECK_NO_EVENTS(deliver(TEXTS("a", "b")));
    CHECK_TEXTS(tick(), "a,b");
    CHECK_NO_EVENTS(tick());
}

TEST(an_empty_payload_is_an_event_too) {
    CHECK_OK(start(R"({"size": 1})"));
    CHECK_TEXTS(deliver(TEXTS("", "a")), "", "a");
}

TEST(no_size_is_refused) {
    CHECK_ERROR(start(R"({"size": 0})"), FOREBAY_OTHER,
                "config of stage `stage`: at `size`: found number 0, expected a whole number from 1 to 4294967295");
}

TEST(as_many_as_are_joined_are_asked_for) {
    CHECK_OK(start(R"({"size": 2, "ask": "source"})"));
    CHECK(asked("source") == 2);
    CHECK_TEXTS(deliver(TEXTS("a", "b", "c")), "a,b");
    CHECK(asked("source") == 4);
    CHECK_TEXTS(tick(), "c");
    CHECK(asked("source") == 5);
}
