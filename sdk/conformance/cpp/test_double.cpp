#include <forebay/testing.hpp>

using namespace forebay::testing;

TEST(every_event_is_emitted_twice_with_all_that_it_has) {
    CHECK_OK(start("null"));
    forebay_events *given = texts({"a"});
    forebay::Events(given).push("b").topic("t").key("k").header("n", "v");
    auto result = deliver(given);
    CHECK_TEXTS(result, "a", "a", "b", "b");
    for (const forebay::Event &event : forebay::Batch(result.events)) {
        bool second = event.index() > 1;
        CHECK(event.topic() == (second ? "t" : ""));
        CHECK(event.key().size() == second && event.headers() == second);
    }
}

TEST(copies_may_be_none) {
    CHECK_OK(start(R"({"copies": 0})"));
    CHECK_NO_EVENTS(deliver(TEXTS("a")));
}

TEST(too_many_copies_are_refused) {
    CHECK_ERROR(start(R"({"copies": 1001})"), FOREBAY_OTHER,
                "config of stage `stage`: at `copies`: found number 1001, expected a whole number from 0 to 1000");
}
