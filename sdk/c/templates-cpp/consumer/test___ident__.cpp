#include <forebay/testing.hpp>

using namespace forebay::testing;

TEST(greets_by_name) {
    CHECK_OK(start(R"({"greeting": "Good day"})"));
    CHECK_OK(deliver(TEXTS("Ada", "Grace")));
    CHECK_LOGGED(FOREBAY_INFO, "Good day, Ada!");
    CHECK_LOGGED(FOREBAY_INFO, "Good day, Grace!");
}

TEST(what_is_no_text_is_rejected) {
    CHECK_OK(start("null"));
    auto result = deliver(TEXTS("Ada", "\xff"));
    CHECK(result.rejections_length == 1 && result.rejections[0].index == 1);
    CHECK_TEXT(result.rejections[0].reason, "a name is UTF-8");
}

TEST(a_number_is_no_greeting) {
    CHECK_ERROR(start(R"({"greeting": 7})"), FOREBAY_OTHER,
                "config of stage `stage`: at `greeting`: found number 7, expected text");
}
