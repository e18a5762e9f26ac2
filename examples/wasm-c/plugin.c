// A plugin of Kitfox that tells by their check digits whether numbers were copied right.
#include "kitfox.h"

#include <ctype.h>
#include <string.h>

const char *describe(void) {
    return text("{\"tools\": [{"
                "\"name\": \"check_number\","
                "\"description\": \"Tells by its check digits whether a number was copied right: "
                "an IBAN, a payment card, an ISBN, an EAN.\","
                "\"parameters\": {\"number\": {\"type\": \"string\", \"description\": \"Spaces and hyphens do not matter\"}},"
                "\"examples\": [\"check the number {number}\"]"
                "}]}");
}

// The value of a digit or letter: A is 10.
static int value(char it) { return isdigit((unsigned char)it) ? it - '0' : it - 'A' + 10; }

// ISO 7064, mod 97: the first four go to the end, and a letter counts as two digits.
static bool is_iban(const char *number, size_t len) {
    int rest = 0;
    for (size_t i = 0; i < len; i++) {
        int it = value(number[(i + 4) % len]);
        rest = (rest * (it < 10 ? 10 : 100) + it) % 97;
    }
    return rest == 1;
}

// Luhn: from the right, each second digit counts twice, by the sum of its digits.
static bool is_card(const char *number, size_t len) {
    int sum = 0;
    for (size_t i = 0; i < len; i++) {
        int it = value(number[len - 1 - i]) * (i % 2 ? 2 : 1);
        sum += it > 9 ? it - 9 : it;
    }
    return sum % 10 == 0;
}

// An EAN, and an ISBN of 13 digits: from the right, each second digit counts three times.
static bool is_ean(const char *number, size_t len) {
    int sum = 0;
    for (size_t i = 0; i < len; i++) sum += value(number[len - 1 - i]) * (i % 2 ? 3 : 1);
    return sum % 10 == 0;
}

// From the right, digits count once, twice, three times, …; an X at the end is a ten.
static bool is_isbn10(const char *number, size_t len) {
    int sum = 0;
    for (size_t i = 0; i < len; i++) {
        char it = number[len - 1 - i];
        sum += (i + 1) * (it == 'X' ? 10 : value(it));
    }
    return sum % 11 == 0;
}

// What a number is by its form.
typedef struct {
    const char *name;
    bool (*is_right)(const char *number, size_t len);
} Kind;

static const Kind *find_kind(const char *number, size_t len) {
    static const Kind iban = {"IBAN", is_iban}, isbn = {"ISBN", is_ean}, isbn10 = {"ISBN-10", is_isbn10},
                      ean = {"EAN", is_ean}, card = {"payment card", is_card};
    size_t digits = strspn(number, "0123456789");
    if (len >= 15 && len <= 34 && isupper((unsigned char)number[0]) && isupper((unsigned char)number[1]) &&
        isdigit((unsigned char)number[2]) && isdigit((unsigned char)number[3])) {
        return &iban;
    }
    if (len == 10 && (digits == 10 || (digits == 9 && number[9] == 'X'))) return &isbn10;
    if (digits != len) return NULL;
    if (len == 13 && (strncmp(number, "978", 3) == 0 || strncmp(number, "979", 3) == 0)) return &isbn;
    if (len == 8 || len == 13) return &ean;
    if (len >= 14 && len <= 19) return &card;
    return NULL;
}

static bool check_number(const char *given, char **answer) {
    char number[35];
    size_t len = 0;
    for (; *given; given++) {
        if (*given == ' ' || *given == '-') continue;
        if (!isalnum((unsigned char)*given) || len == sizeof number - 1) {
            // Told to the model, which may mend it.
            *answer = "a number has up to 34 letters and digits";
            return false;
        }
        number[len++] = toupper((unsigned char)*given);
    }
    number[len] = 0;
    const Kind *kind = find_kind(number, len);
    if (!kind) {
        *answer = text("%J has neither the form of an IBAN nor of a card, an ISBN or an EAN", number);
        return false;
    }
    const char *right = kind->is_right(number, len) ? "true" : "false";
    *answer = text("{\"number\": %J, \"kind\": %J, \"right\": %s}", number, kind->name, right);
    return true;
}

bool call_tool(const char *name, const char *arguments, char **answer) {
    if (strcmp(name, "check_number") == 0) {
        return check_number(json_string(json_get(arguments, "number")), answer);
    }
    *answer = text("there is no tool %s", name);
    return false;
}
