// A plugin of Kitfox with one tool.
#include "kitfox.h"

#include <stdlib.h>
#include <string.h>

const char *describe(void) {
    return text("{\"tools\": [{"
                "\"name\": \"TOOL\","
                "\"description\": \"Greets somebody, and counts how often.\","
                "\"parameters\": {\"who\": {\"type\": \"string\", \"description\": \"Whom to greet\"}},"
                "\"examples\": [\"greet {who}\"]"
                "}]}");
}

// How often the user has asked, this time included. What `kv` keeps may change meanwhile: then it is done again.
static bool count(char **times) {
    char *before, *done;
    do {
        if (!ctx("kv.user.get", "[\"times\"]", &before)) return *times = before, false;
        *times = text("%d", atoi(before) + 1);
        if (!ctx("kv.user.compare_and_set", text("[\"times\", %s, %s]", before, *times), &done)) {
            return *times = done, false;
        }
    } while (strcmp(done, "true") != 0);
    return true;
}

static bool greet(const char *arguments, char **answer) {
    const char *who = json_string(json_get(arguments, "who"));
    if (!*who) {
        // Told to the model, which may mend it.
        *answer = "say whom to greet";
        return false;
    }
    // `kitfox call` has no thread to show it in.
    if (!ctx("thread", "[]", answer)) return false;
    if (strcmp(*answer, "null") != 0 &&
        !ctx("progress", text("[\"sparkle\", %J]", text("Greeting %s", who)), answer)) {
        return false;
    }
    char *times;
    if (!count(&times)) return *answer = times, false;
    *answer = text("{\"greeting\": %J, \"times\": %s}", text("Hello, %s!", who), times);
    return true;
}

bool call_tool(const char *name, const char *arguments, char **answer) {
    if (strcmp(name, "TOOL") == 0) return greet(arguments, answer);
    *answer = text("there is no tool %s", name);
    return false;
}
