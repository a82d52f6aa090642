/// What is asked of sources.
#include <forebay/testing.h>

forebay_test_result forebay_test_emitted(forebay_events *events);

TEST(what_is_asked_for_counts_once_its_call_has_succeeded) {
    CHECK_OK(((forebay_test_result){.status = forebay_ask("a", 2)}));
    CHECK_OK(((forebay_test_result){.status = forebay_ask("b", 1)}));
    CHECK_OK(((forebay_test_result){.status = forebay_ask("a", 3)}));
    CHECK(forebay_test_asked("a") == 0);
    // The end of a call.
    forebay_test_emitted(forebay_test_events());
    CHECK(forebay_test_asked("a") == 5 && forebay_test_asked("b") == 1 && forebay_test_asked("c") == 0);
}

TEST(a_name_that_is_no_text_is_refused) {
    CHECK(forebay_ask("\xff", 1) == FOREBAY_FATAL);
    CHECK_TEXT(forebay_error_text().data, "`\xEF\xBF\xBD` cannot be asked; expected the name of a source, in UTF-8");
}
