#include <forebay/testing.hpp>

using namespace forebay::testing;

TEST(counts_by_steps_up_to_the_limit) {
    CHECK_OK(start(R"({"start": 5, "step": -3, "limit": 4})"));
    CHECK_TEXTS(demand(3), "5", "2", "-1");
    CHECK_TEXTS(demand(3), "-4");
    CHECK_NO_EVENTS(demand(3));
}

TEST(payloads_are_padded) {
    CHECK_OK(start(R"({"start": 99, "payload_bytes": 4})"));
    CHECK_TEXTS(demand(2), "0099", "0100");
}

TEST(no_config_means_all_defaults) {
    CHECK_OK(start("null"));
    CHECK_TEXTS(demand(2), "0", "1");
}

TEST(a_config_that_is_wrong_is_refused) {
    CHECK_ERROR(start(R"({"start": "x"})"), FOREBAY_OTHER,
                "config of stage `stage`: at `start`: found text \"x\", expected a whole number");
    CHECK_ERROR(start(R"({"strat": 1})"), FOREBAY_OTHER,
                "config of stage `stage`: at `strat`: found an unknown key, expected `start`, `step`, `limit` or "
                "`payload_bytes`");
    CHECK_ERROR(start(R"({"step": 0})"), FOREBAY_OTHER,
                "config of stage `stage`: `step` is 0; expected any other whole number");
}

TEST(the_last_number_is_not_passed) {
    CHECK_OK(start(R"({"start": 9223372036854775806})"));
    CHECK_TEXTS(demand(1), "9223372036854775806");
    CHECK_ERROR(demand(1), FOREBAY_FATAL, "the number after this one does not fit 64 bits");
}

TEST(events_from_outside_keep_key_and_headers) {
    CHECK_OK(start("null"));
    forebay_events *outside = texts({"a"});
    forebay::Events(outside).push("b").topic("other").key("k").header("unit", "W");
    auto result = ingest(outside);
    CHECK_TEXTS(result, "a", "b");
    for (const forebay::Event &event : forebay::Batch(result.events)) {
        CHECK(event.topic() == "ingested");
        CHECK(event.key().size() == event.index() && event.headers() == event.index());
    }
}

TEST(calls_set_and_tell_the_next_number) {
    CHECK_OK(start("null"));
    CHECK(answer(call(R"({"set": 40})")) == R"({"next":40})");
    CHECK_TEXTS(demand(1), "40");
    CHECK(answer(call("{}")) == R"({"next":41})");
}

TEST(other_requests_are_errors) {
    CHECK_OK(start("null"));
    for (std::string other : {R"({"set": "x"})", R"({"sett": 1})", R"({"set": 1, "b": 2})", "[]", "what"})
        CHECK_ERROR(call(other), FOREBAY_OTHER, ("unknown request: " + other).c_str());
    CHECK_TEXTS(demand(1), "0");
}
