#include <forebay/testing.h>

TEST(greets_by_name) {
    CHECK_OK(forebay_test_start("{\"greeting\": \"Good day\"}"));
    CHECK_TEXTS(forebay_test_deliver(TEXTS("Ada", "Grace")), "Good day, Ada!", "Good day, Grace!");
}

TEST(what_is_no_text_is_rejected) {
    CHECK_OK(forebay_test_start("null"));
    forebay_test_result result = forebay_test_deliver(TEXTS("\xff", "Ada"));
    CHECK_TEXTS(result, "Hello, Ada!");
    CHECK(result.rejections_length == 1 && result.rejections[0].index == 0);
}

TEST(a_number_is_no_greeting) {
    CHECK_ERROR(forebay_test_start("{\"greeting\": 7}"), FOREBAY_OTHER,
                "config of stage `stage`: at `greeting`: found number 7, expected text");
}
