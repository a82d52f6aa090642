/// Runs the tests, each in a process of its own, and tells how they went.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../include/forebay/testing.h"
#include "memory.h"

/// A test that takes longer is stuck. Unit: seconds.
enum { FOREBAY_TEST_SECONDS_MAX = 60, FOREBAY_TEST_SURVIVED = 42 };

typedef struct {
    const char *name;
    void (*run)(void);
} forebay_test_entry;

static forebay_column forebay_test_entries;

void forebay_test_register(const char *name, void (*run)(void)) {
    forebay_test_entry *entry = forebay_column_extend(&forebay_test_entries, 1, sizeof *entry);
    *entry = (forebay_test_entry){name, run};
}

static bool forebay_test_ended_well(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        ;
    if (WIFSIGNALED(status))
        fprintf(stderr, "    ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

static bool forebay_test_run(const forebay_test_entry *entry) {
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        perror("    fork");
        return false;
    }
    if (child == 0) {
        alarm(FOREBAY_TEST_SECONDS_MAX);
        entry->run();
        exit(EXIT_SUCCESS);
    }
    bool passed = forebay_test_ended_well(child);
    printf("test %s ... %s\n", entry->name, passed ? "ok" : "FAILED");
    return passed;
}

/// The child of CHECK_ENDS, and the end of the pipe with what it says.
static pid_t forebay_test_child;
static int forebay_test_said;

bool forebay_test_fork(void) {
    int ends[2];
    fflush(NULL);
    if (pipe(ends) < 0 || (forebay_test_child = fork()) < 0)
        forebay_test_fail(__FILE__, __LINE__, "no further process can be started");
    if (forebay_test_child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
    }
    close(ends[1]);
    forebay_test_said = ends[0];
    return forebay_test_child == 0;
}

void forebay_test_survived(void) {
    _exit(FOREBAY_TEST_SURVIVED);
}

void forebay_test_check_ended(const char *file, int line, const char *text) {
    forebay_buffer said = {0};
    char piece[512];
    for (ssize_t length; (length = read(forebay_test_said, piece, sizeof piece)) > 0;)
        forebay_buffer_append(&said, piece, (size_t)length);
    forebay_buffer_append(&said, "", 0);
    close(forebay_test_said);
    int status = 0;
    while (waitpid(forebay_test_child, &status, 0) < 0)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == FOREBAY_TEST_SURVIVED)
        forebay_test_fail(file, line, "the instance did not end, expected \"%s\"", text);
    if (!strstr((const char *)said.data, text))
        forebay_test_fail(file, line, "the instance ended with\n%s    expected \"%s\"", (const char *)said.data, text);
    forebay_buffer_free(&said);
}

int main(int count, char **words) {
    const forebay_test_entry *entries = forebay_test_entries.data;
    size_t passed = 0, failed = 0;
    for (size_t i = 0; i < forebay_test_entries.length; i++) {
        if (count > 1 && !strstr(entries[i].name, words[1]))
            continue;
        if (forebay_test_run(&entries[i]))
            passed++;
        else
            failed++;
    }
    printf("%zu passed, %zu failed\n", passed, failed);
    if (passed + failed == 0)
        fprintf(stderr, "there is no test; expected at least one TEST(name) { ... }\n");
    return failed || passed == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
