#include <forebay/testing.h>

TEST(counts_by_steps_up_to_the_limit) {
    CHECK_OK(forebay_test_start("{\"start\": 5, \"step\": -3, \"limit\": 4}"));
    CHECK_TEXTS(forebay_test_demand(3), "5", "2", "-1");
    CHECK_TEXTS(forebay_test_demand(3), "-4");
    CHECK_NO_EVENTS(forebay_test_demand(3));
}

TEST(payloads_are_padded) {
    CHECK_OK(forebay_test_start("{\"start\": 99, \"payload_bytes\": 4}"));
    CHECK_TEXTS(forebay_test_demand(2), "0099", "0100");
}

TEST(no_config_means_all_defaults) {
    CHECK_OK(forebay_test_start("null"));
    CHECK_TEXTS(forebay_test_demand(2), "0", "1");
}

TEST(a_config_that_is_wrong_is_refused) {
    CHECK_ERROR(forebay_test_start("{\"start\": \"x\"}"), FOREBAY_OTHER,
                "config of stage `stage`: at `start`: found text \"x\", expected a whole number");
    CHECK_ERROR(forebay_test_start("{\"strat\": 1}"), FOREBAY_OTHER,
                "config of stage `stage`: at `strat`: found an unknown key, expected `start`, `step`, `limit` or "
                "`payload_bytes`");
    CHECK_ERROR(forebay_test_start("{\"step\": 0}"), FOREBAY_OTHER,
                "config of stage `stage`: `step` is 0; expected any other whole number");
}

TEST(the_last_number_is_not_passed) {
    CHECK_OK(forebay_test_start("{\"start\": 9223372036854775806}"));
    CHECK_TEXTS(forebay_test_demand(1), "9223372036854775806");
    CHECK_ERROR(forebay_test_demand(1), FOREBAY_FATAL, "the number after this one does not fit 64 bits");
}

TEST(events_from_outside_keep_key_and_headers) {
    CHECK_OK(forebay_test_start("null"));
    forebay_events *outside = TEXTS("a", "b");
    forebay_events_topic(outside, "other");
    forebay_events_key(outside, "k", 1);
    forebay_events_header(outside, "unit", "W");
    forebay_test_result result = forebay_test_ingest(outside);
    CHECK_TEXTS(result, "a", "b");
    FOREBAY_FOR_EACH(event, result.events) {
        CHECK_TEXT(event.topic.data, "ingested");
        CHECK(event.key.length == event.index && event.headers == event.index);
    }
}

TEST(calls_set_and_tell_the_next_number) {
    CHECK_OK(forebay_test_start("null"));
    CHECK_TEXT((const char *)forebay_test_call("{\"set\": 40}").answer.data, "{\"next\":40}");
    CHECK_TEXTS(forebay_test_demand(1), "40");
    CHECK_TEXT((const char *)forebay_test_call("{}").answer.data, "{\"next\":41}");
}

TEST(other_requests_are_errors) {
    static const char *const others[] = {"{\"set\": \"x\"}", "{\"sett\": 1}", "{\"set\": 1, \"b\": 2}", "[]", "what"};
    CHECK_OK(forebay_test_start("null"));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        forebay_buffer expected = {0};
        forebay_buffer_print(&expected, "unknown request: %s", others[i]);
        CHECK_ERROR(forebay_test_call(others[i]), FOREBAY_OTHER, (const char *)expected.data);
        forebay_buffer_free(&expected);
    }
    CHECK_TEXTS(forebay_test_demand(1), "0");
}
