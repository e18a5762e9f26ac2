// The plugin without Kitfox.
#include "kitfox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ctx(const char *member, const char *arguments, char **answer) {
    (void)member, (void)arguments;
    *answer = "null";
    return true;
}

// The kind and what the check digits say are in the answer.
static void check(const char *number, const char *kind, const char *right) {
    char *answer;
    bool is_ok = call_tool("check_number", text("{\"number\": %J}", number), &answer);
    if (is_ok && strstr(answer, text("%J, \"right\": %s}", kind, right))) return;
    fprintf(stderr, "%s is no %s that is %s: %s\n", number, kind, right, answer);
    exit(1);
}

static void refuse(const char *number, const char *why) {
    char *answer;
    if (!call_tool("check_number", text("{\"number\": %J}", number), &answer) && strstr(answer, why)) return;
    fprintf(stderr, "%s is not refused by \"%s\": %s\n", number, why, answer);
    exit(1);
}

int main(void) {
    check("GB82 WEST 1234 5698 7654 32", "IBAN", "true");
    check("gb82west12345698765423", "IBAN", "false");
    check("4111 1111 1111 1111", "payment card", "true");
    check("4111 1111 1111 1112", "payment card", "false");
    check("0-306-40615-2", "ISBN-10", "true");
    check("080442957x", "ISBN-10", "true");
    check("978-0-306-40615-7", "ISBN", "true");
    check("978-0-306-40615-8", "ISBN", "false");
    check("4006381333931", "EAN", "true");
    refuse("", "neither the form");
    refuse("12345", "neither the form");
    refuse("4111_1111", "up to 34 letters and digits");
    refuse("0123456789012345678901234567890123456789", "up to 34 letters and digits");
    puts("all is well");
}
