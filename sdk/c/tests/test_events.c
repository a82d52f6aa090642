/// Events that are emitted, and texts.
#include <forebay/testing.h>
#include <stdio.h>
#include <string.h>

forebay_test_result forebay_test_emitted(forebay_events *events);

static forebay_event event_at(const forebay_batch *batch, uint32_t index) {
    forebay_event event = {.batch = batch};
    do
        CHECK(forebay_next(&event));
    while (event.index != index);
    return event;
}

TEST(a_late_topic_or_key_leaves_the_events_before_it_without) {
    forebay_events *events = forebay_test_texts((const char *const[]){"0", "1", "2", NULL});
    forebay_events_topic(events, "t");
    forebay_events_key(events, "kk", 2);
    forebay_events_push(events, "3", 1);
    forebay_events_push_text(events, "%d", 4);
    forebay_events_topic(events, "u");
    forebay_events_topic(events, "t");
    forebay_events_key(events, "long", 4);
    forebay_events_key(events, "k", 1);
    forebay_events_header(events, "n", "v");
    const forebay_batch *batch = forebay_test_emitted(events).events;
    static const char *const topics[] = {"", "", "t", "", "t"};
    static const size_t keys[] = {0, 0, 2, 0, 1};
    FOREBAY_FOR_EACH(event, batch) {
        CHECK_TEXT(event.topic.data, topics[event.index]);
        CHECK(event.key.length == keys[event.index] && event.seq == event.index);
        CHECK(event.headers == (event.index == 4));
    }
    forebay_event last = event_at(batch, 4);
    CHECK_TEXT(forebay_event_header(&last, 0).value.data, "v");
    CHECK_ENDS(forebay_event_header(&last, 1), "header 1 was asked for, but the event has 1");
}

TEST(copies_are_equal_to_what_was_delivered) {
    forebay_events *events = forebay_test_texts((const char *const[]){"", "a", NULL});
    forebay_events_topic(events, "t");
    forebay_events_key(events, "\xff\0", 2);
    forebay_events_header(events, "n", "1");
    forebay_events_header(events, "n", "");
    forebay_events *copies = forebay_test_events();
    FOREBAY_FOR_EACH(event, forebay_test_emitted(events).events) { forebay_events_push_event(copies, &event); }
    forebay_event copy = event_at(forebay_test_emitted(copies).events, 1);
    CHECK(copy.key.length == 2 && memcmp(copy.key.data, "\xff\0", 2) == 0 && copy.headers == 2);
    CHECK_TEXT(copy.topic.data, "t");
    CHECK_TEXT(forebay_event_header(&copy, 1).value.data, "");
}

TEST(many_topics_are_told_apart) {
    forebay_events *events = forebay_test_events();
    char topic[16];
    for (int i = 0; i < 5000; i++) {
        forebay_events_push(events, "", 0);
        snprintf(topic, sizeof topic, "topic-%d", i % 1000);
        forebay_events_topic(events, topic);
    }
    FOREBAY_FOR_EACH(event, forebay_test_emitted(events).events) {
        snprintf(topic, sizeof topic, "topic-%d", (int)event.index % 1000);
        CHECK_TEXT(event.topic.data, topic);
    }
}

TEST(more_topics_than_the_columns_hold_end_the_instance) {
    forebay_events *events = forebay_test_events();
    char topic[16];
    for (int i = 0; i < 65536; i++) {
        forebay_events_push(events, "", 0);
        snprintf(topic, sizeof topic, "%d", i);
        forebay_events_topic(events, topic);
    }
    forebay_events_push(events, "", 0);
    forebay_events_topic(events, "65535");
    CHECK_ENDS(forebay_events_topic(events, "one more"), "more than 65536 different topics in one batch");
}

TEST(a_long_text_is_formatted_whole) {
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    forebay_events *events = forebay_test_events();
    forebay_events_push_text(events, "%s%s", text, "y");
    forebay_event event = event_at(forebay_test_emitted(events).events, 0);
    CHECK(event.payload.length == 1000 && event.payload.data[999] == 'y');
}

TEST(a_topic_that_is_no_text_ends_the_instance) {
    forebay_events *events = forebay_test_texts((const char *const[]){"a", NULL});
    CHECK_ENDS(forebay_events_topic(events, "\xff"), "a topic is not UTF-8");
    CHECK_ENDS(forebay_events_key(forebay_test_events(), "k", 1), "a key was set before an event was pushed");
}

TEST(utf8_is_what_rfc_3629_says) {
    static const char *const good[] = {"", "a", "\xC2\x80", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "a\xC3", "\xC3("};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(forebay_is_utf8((forebay_bytes){(const uint8_t *)good[i], strlen(good[i])}));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!forebay_is_utf8((forebay_bytes){(const uint8_t *)bad[i], strlen(bad[i])}));
}

TEST(what_is_no_text_is_made_one_for_the_log_and_for_errors) {
    forebay_info("a%sb", "\xff\xC3");
    CHECK_LOGGED(FOREBAY_INFO, "a\xEF\xBF\xBD\xEF\xBF\xBD" "b");
    CHECK(forebay_fatal("%s", "\xff") == FOREBAY_FATAL);
    CHECK_TEXT(forebay_error_text().data, "\xEF\xBF\xBD");
    CHECK(forebay_retry("again: %s", forebay_error_text().data) == FOREBAY_RETRY);
    CHECK_TEXT(forebay_error_text().data, "again: \xEF\xBF\xBD");
}

TEST(a_broken_promise_is_logged_with_its_place) {
    CHECK_ENDS(FOREBAY_ASSERT(1 > 2), "test_events.c");
    CHECK_ENDS(FOREBAY_ASSERT(1 > 2), "`1 > 2` does not hold");
}
