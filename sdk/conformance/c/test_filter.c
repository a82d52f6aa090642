#include <forebay/testing.h>

TEST(what_contains_the_text_is_passed_on) {
    CHECK_OK(forebay_test_start("{\"contains\": \"an\"}"));
    CHECK_TEXTS(forebay_test_deliver(TEXTS("banana", "cherry", "a", "an")), "banana", "an");
}

TEST(what_cannot_be_processed_is_rejected) {
    CHECK_OK(forebay_test_start("null"));
    forebay_test_result result = forebay_test_deliver(TEXTS("later", "\xC0\x80", "fine"));
    CHECK_TEXTS(result, "fine");
    CHECK(result.rejections_length == 2);
    CHECK(result.rejections[0].index == 0 && result.rejections[0].retry);
    CHECK_TEXT(result.rejections[0].reason, "later");
    CHECK(result.rejections[1].index == 1 && !result.rejections[1].retry);
    CHECK_TEXT(result.rejections[1].reason, "not UTF-8");
}

TEST(a_number_is_no_text) {
    CHECK_ERROR(forebay_test_start("{\"contains\": 7}"), FOREBAY_OTHER,
                "config of stage `stage`: at `contains`: found number 7, expected text");
}
