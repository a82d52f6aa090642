#include <forebay/testing.h>

TEST(it_logs_what_it_is_given) {
    CHECK_OK(forebay_test_start("null"));
    forebay_test_result result = forebay_test_deliver(TEXTS("a", "go", "no"));
    CHECK_OK(result);
    CHECK(result.rejections_length == 1 && result.rejections[0].index == 2 && !result.rejections[0].retry);
    CHECK_TEXT(result.rejections[0].reason, "no");
    CHECK_LOGGED(FOREBAY_INFO, "a");
    CHECK_LOGGED(FOREBAY_INFO, "no");
}

TEST(it_fails_as_it_is_told_to) {
    CHECK_OK(forebay_test_start("{\"mode\": \"retry\"}"));
    CHECK_ERROR(forebay_test_deliver(TEXTS("go")), FOREBAY_RETRY, "told to");
    CHECK_OK(forebay_test_start("{\"mode\": \"fatal\"}"));
    CHECK_ERROR(forebay_test_deliver(TEXTS("go")), FOREBAY_FATAL, "told to");
    CHECK_OK(forebay_test_start("{\"mode\": \"other\"}"));
    CHECK_ERROR(forebay_test_deliver(TEXTS("go")), FOREBAY_OTHER, "told to");
    CHECK_ERROR(forebay_test_start("{\"mode\": \"init\"}"), FOREBAY_FATAL, "told to fail");
}

TEST(a_panic_ends_the_instance_and_is_logged_with_its_place) {
    CHECK_OK(forebay_test_start("{\"mode\": \"trap\"}"));
    CHECK_ENDS(forebay_test_deliver(TEXTS("go")), "misbehaver.c:");
    CHECK_ENDS(forebay_test_deliver(TEXTS("go")), ": told to trap");
}

TEST(rejections_a_host_refuses_are_refused) {
    CHECK_OK(forebay_test_start("{\"mode\": \"outside\"}"));
    CHECK_ENDS(forebay_test_deliver(TEXTS("go")), "rejection of event 4294967295, but 1 were delivered");
    CHECK_OK(forebay_test_start("{\"mode\": \"twice\"}"));
    CHECK_ENDS(forebay_test_deliver(TEXTS("a", "go")), "event 1 was rejected twice");
}

TEST(a_flood_is_ten_thousand_lines) {
    CHECK_OK(forebay_test_start("{\"mode\": \"flood\"}"));
    CHECK_OK(forebay_test_deliver(TEXTS("go")));
    CHECK(forebay_test_logs() == 10001);
}

TEST(a_mode_that_is_not_known_is_refused) {
    CHECK_ERROR(forebay_test_start("{\"mode\": \"odd\"}"), FOREBAY_OTHER,
                "config of stage `stage`: `mode` is \"odd\"; expected one of ok, retry, fatal, other, trap, spin, "
                "allocate, outside, twice, flood, init");
}
