// The plugin without Kitfox.
#include "kitfox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ctx(const char *member, const char *arguments, char **answer) {
    (void)arguments;
    bool gets = strcmp(member, "kv.user.get") == 0, sets = strcmp(member, "kv.user.compare_and_set") == 0;
    *answer = gets ? "2" : sets ? "true" : "null";
    return true;
}

static void check(const char *name, const char *arguments, bool is_ok, const char *expected) {
    char *answer;
    if (call_tool(name, arguments, &answer) == is_ok && strcmp(answer, expected) == 0) return;
    fprintf(stderr, "%s %s\n  gave     %s\n  and not  %s\n", name, arguments, answer, expected);
    exit(1);
}

int main(void) {
    check("TOOL", "{\"who\": \"Ada\"}", true, "{\"greeting\": \"Hello, Ada!\", \"times\": 3}");
    check("TOOL", "{ \"a\": [{\"who\": 1}], \"who\" : \"\\ud83e\\udd8a \\\"x\\\"\\n\" }", true,
          "{\"greeting\": \"Hello, \xF0\x9F\xA6\x8A \\\"x\\\"\\u000a!\", \"times\": 3}");
    check("TOOL", "{\"who\": \"\"}", false, "say whom to greet");
    puts("all is well");
}
