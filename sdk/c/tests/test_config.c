/// The config, read by key.
#include <forebay/testing.h>
#include <string.h>

static forebay_config *config_of(const char *text) {
    forebay_test_context.config = (forebay_text){text, strlen(text)};
    return forebay_config_read(&forebay_test_context);
}

static void wrong(forebay_config *config, const char *expected) {
    CHECK(forebay_config_done(config) == FOREBAY_OTHER);
    CHECK_TEXT(forebay_error_text().data, expected);
}

TEST(no_config_gives_the_defaults) {
    static const char *const none[] = {"null", "{}", " null ", "{\"n\": null}"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        forebay_config *config = config_of(none[i]);
        CHECK(forebay_config_int(config, "n", 7) == 7 && forebay_config_bool(config, "b", true));
        CHECK(forebay_config_double(config, "d", 0.5) == 0.5 && !forebay_config_has(config, "n"));
        CHECK_TEXT(forebay_config_text(config, "t", "none"), "none");
        CHECK(forebay_config_list(config, "l") == 0);
        CHECK(forebay_config_int(forebay_config_table(config, "inner"), "x", 3) == 3);
        CHECK(forebay_config_done(config) == FOREBAY_OK);
    }
}

TEST(values_are_read_wherever_they_are) {
    forebay_config *config = config_of("{\"n\": -5, \"b\": false, \"d\": 2, \"t\": \"x\", \"inner\": {\"sizes\": [1, 2]}, "
                                       "\"hosts\": [{\"name\": \"a\"}, {\"name\": \"b\"}]}");
    CHECK(forebay_config_int(config, "n", 7) == -5 && !forebay_config_bool(config, "b", true));
    CHECK(forebay_config_double(config, "d", 0.5) == 2.0);
    CHECK_TEXT(forebay_config_text(config, "t", "none"), "x");
    forebay_config *inner = forebay_config_table(config, "inner");
    CHECK(forebay_config_list(inner, "sizes") == 2);
    CHECK(forebay_config_int(forebay_config_item(inner, "sizes", 1), "", 0) == 2);
    CHECK_TEXT(forebay_config_text(forebay_config_item(config, "hosts", 1), "name", ""), "b");
    CHECK_TEXT(forebay_config_text(forebay_config_item(config, "hosts", 0), "name", ""), "a");
    CHECK(forebay_config_done(config) == FOREBAY_OK);
}

TEST(a_value_of_another_kind_is_an_error_that_names_its_key) {
    forebay_config *config = config_of("{\"n\": 1.5}");
    CHECK(forebay_config_int(config, "n", 7) == 7);
    wrong(config, "config of stage `stage`: at `n`: found number 1.5, expected a whole number");
    config = config_of("{\"n\": 300}");
    CHECK(forebay_config_int_within(config, "n", 7, 0, 255) == 7);
    wrong(config, "config of stage `stage`: at `n`: found number 300, expected a whole number from 0 to 255");
    config = config_of("{\"t\": \"a\\u0000b\"}");
    forebay_config_text(config, "t", "");
    wrong(config, "config of stage `stage`: at `t`: found text \"a\", expected text without NUL characters");
    config = config_of("{\"inner\": {\"sizes\": [1, \"x\"]}}");
    forebay_config_int(forebay_config_item(forebay_config_table(config, "inner"), "sizes", 1), "", 0);
    wrong(config, "config of stage `stage`: at `inner.sizes[1]`: found text \"x\", expected a whole number");
    config = config_of("{\"hosts\": [{\"port\": true}]}");
    forebay_config_int(forebay_config_item(config, "hosts", 0), "port", 0);
    wrong(config, "config of stage `stage`: at `hosts[0].port`: found true, expected a whole number");
    config = config_of("{\"inner\": []}");
    forebay_config_table(config, "inner");
    wrong(config, "config of stage `stage`: at `inner`: found a list, expected a table");
}

TEST(the_first_error_is_kept) {
    forebay_config *config = config_of("{\"a\": true, \"b\": true}");
    forebay_config_int(config, "a", 0);
    forebay_config_text(config, "b", "");
    wrong(config, "config of stage `stage`: at `a`: found true, expected a whole number");
}

TEST(a_key_that_nobody_reads_is_an_error) {
    forebay_config *config = config_of("{\"start\": 1, \"strat\": 2}");
    forebay_config_int(config, "start", 0);
    forebay_config_int(config, "step", 0);
    wrong(config, "config of stage `stage`: at `strat`: found an unknown key, expected `start` or `step`");
    wrong(config_of("{\"a\": 1}"), "config of stage `stage`: at `a`: found an unknown key, expected no keys");
    config = config_of("{\"inner\": {\"b\": 1}}");
    forebay_config_int(forebay_config_table(config, "inner"), "a", 0);
    wrong(config, "config of stage `stage`: at `inner.b`: found an unknown key, expected `a`");
}

TEST(a_key_that_has_to_be_there_is_missed) {
    forebay_config *config = config_of("null");
    forebay_config_require(config, "host", "text");
    wrong(config, "config of stage `stage`: at `host`: found nothing, expected text");
}

TEST(what_is_no_table_is_refused) {
    wrong(config_of("[1]"), "config of stage `stage`: found a list, expected a table");
    wrong(config_of("{\"a\":"), "config of stage `stage`: found the end at byte 5 of the JSON, expected a value");
}
