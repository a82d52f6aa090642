/// What the checks of a test compare, and the lines a stage logged.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../include/forebay/testing.h"
#include "log.h"
#include "memory.h"

typedef struct {
    forebay_level level;
    const char *text;
} forebay_test_line;

static forebay_column forebay_test_lines;
static const char *const forebay_test_levels[] = {"trace", "debug", "info", "warn", "error"};
static const char *const forebay_test_statuses[] = {"success", "retry", "fatal", "other"};

void forebay_host_log(uint32_t level, const char *text, size_t length) {
    forebay_test_line *line = forebay_column_extend(&forebay_test_lines, 1, sizeof *line);
    *line = (forebay_test_line){(forebay_level)level, forebay_arena_text(&forebay_call_arena, text, length).data};
}

static void forebay_test_print_log(void) {
    const forebay_test_line *lines = forebay_test_lines.data;
    for (size_t i = 0; i < forebay_test_lines.length; i++)
        fprintf(stderr, "    logged %s: %s\n", forebay_test_levels[lines[i].level], lines[i].text);
}

void forebay_trap(void) {
    fprintf(stderr, "    the stage ended its instance\n");
    forebay_test_print_log();
    exit(EXIT_FAILURE);
}

void forebay_test_fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (line)
        fprintf(stderr, "    %s:%d: ", file, line);
    else
        fprintf(stderr, "    refused by a %s: ", file);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    forebay_test_print_log();
    exit(EXIT_FAILURE);
}

size_t forebay_test_logs(void) {
    return forebay_test_lines.length;
}

const char *forebay_test_log(size_t index, forebay_level *level) {
    if (index >= forebay_test_lines.length)
        return "";
    const forebay_test_line *line = (const forebay_test_line *)forebay_test_lines.data + index;
    if (level)
        *level = line->level;
    return line->text;
}

void forebay_test_check_ok(const char *file, int line, forebay_test_result result) {
    if (result.status)
        forebay_test_fail(file, line, "the call failed (%s): %s", forebay_test_statuses[result.status], result.error);
}

void forebay_test_check_error(const char *file, int line, forebay_test_result result, forebay_status status,
                              const char *text) {
    if (result.status != status || strcmp(result.error, text) != 0)
        forebay_test_fail(file, line, "found %s \"%s\", expected %s \"%s\"", forebay_test_statuses[result.status],
                          result.error, forebay_test_statuses[status], text);
}

static void forebay_test_list_texts(forebay_buffer *list, const forebay_batch *events) {
    FOREBAY_FOR_EACH(event, events) {
        forebay_buffer_print(list, "%s\"%.*s\"", event.index ? ", " : "", (int)event.payload.length,
                             (const char *)event.payload.data);
    }
    forebay_buffer_append(list, "", 0);
}

void forebay_test_check_texts(const char *file, int line, forebay_test_result result, const char *const *texts) {
    forebay_test_check_ok(file, line, result);
    forebay_buffer found = {0}, expected = {0};
    forebay_test_list_texts(&found, result.events);
    for (size_t i = 0; texts[i]; i++)
        forebay_buffer_print(&expected, "%s\"%s\"", i ? ", " : "", texts[i]);
    forebay_buffer_append(&expected, "", 0);
    if (found.length != expected.length || memcmp(found.data, expected.data, found.length) != 0)
        forebay_test_fail(file, line, "found events %s, expected %s", (const char *)found.data,
                          (const char *)expected.data);
    forebay_buffer_free(&found);
    forebay_buffer_free(&expected);
}

void forebay_test_check_text(const char *file, int line, const char *found, const char *expected) {
    if (strcmp(found, expected) != 0)
        forebay_test_fail(file, line, "found \"%s\", expected \"%s\"", found, expected);
}

void forebay_test_check_logged(const char *file, int line, forebay_level level, const char *text) {
    const forebay_test_line *lines = forebay_test_lines.data;
    for (size_t i = 0; i < forebay_test_lines.length; i++)
        if (lines[i].level == level && strcmp(lines[i].text, text) == 0)
            return;
    forebay_test_fail(file, line, "no line \"%s\" was logged with level %s", text, forebay_test_levels[level]);
}
