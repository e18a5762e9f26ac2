// As much of JSON as a plugin needs, for valid JSON: Kitfox sends no other.
#include "kitfox.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_space(const char *at) { return at + strspn(at, " \t\r\n"); }

// Behind the string that begins here.
static const char *skip_string(const char *at) {
    for (at++; *at && *at != '"'; at++) {
        if (*at == '\\' && at[1]) at++;
    }
    return *at ? at + 1 : at;
}

// Behind the value that begins here.
static const char *skip_value(const char *at) {
    int depth = 0;
    at = skip_space(at);
    do {
        if (*at == '"') {
            at = skip_string(at);
        } else if (*at == '{' || *at == '[') {
            depth++, at++;
        } else if (*at == '}' || *at == ']') {
            depth--, at++;
        } else if (depth) {
            at++;
        } else {
            at += strcspn(at, ",]} \t\r\n");
        }
    } while (depth && *at);
    return at;
}

static void *room(size_t size) {
    void *result = malloc(size);
    if (!result) abort();
    return result;
}

static char *copy(const char *from, size_t len) {
    char *to = room(len + 1);
    memcpy(to, from, len);
    to[len] = 0;
    return to;
}

char *json_get(const char *object, const char *key) {
    const char *at = skip_space(object);
    if (*at != '{') return NULL;
    at = skip_space(at + 1);
    while (*at == '"') {
        const char *name = json_string(at);
        at = skip_space(skip_string(at));
        if (*at != ':') return NULL;
        const char *value = skip_space(at + 1);
        at = skip_value(value);
        if (strcmp(name, key) == 0) return copy(value, at - value);
        at = skip_space(at);
        if (*at == ',') at = skip_space(at + 1);
    }
    return NULL;
}

// Writes a character as UTF-8, and gives where the next one goes.
static char *put(char *to, unsigned long code) {
    if (code < 0x80) {
        *to++ = code;
    } else if (code < 0x800) {
        *to++ = 0xC0 | code >> 6;
    } else if (code < 0x10000) {
        *to++ = 0xE0 | code >> 12;
        *to++ = 0x80 | (code >> 6 & 0x3F);
    } else {
        *to++ = 0xF0 | code >> 18;
        *to++ = 0x80 | (code >> 12 & 0x3F);
        *to++ = 0x80 | (code >> 6 & 0x3F);
    }
    if (code >= 0x80) *to++ = 0x80 | (code & 0x3F);
    return to;
}

// The four hexadecimal digits of an escape.
static unsigned long unit(const char *digits) { return strtoul(copy(digits, strnlen(digits, 4)), NULL, 16); }

char *json_string(const char *value) {
    if (!value || *value != '"') return "";
    const char *end = skip_string(value) - 1;
    char *result = room(end - value + 1), *to = result;
    for (const char *at = value + 1; at < end; at++) {
        const char *escapes = "\"\\/bfnrt", *found;
        if (*at != '\\') {
            *to++ = *at;
        } else if (at[1] != 'u') {
            found = strchr(escapes, *++at);
            *to++ = found ? "\"\\/\b\f\n\r\t"[found - escapes] : *at;
        } else {
            unsigned long code = unit(at + 2);
            at += 5;
            if (code >= 0xD800 && code < 0xDC00 && at[1] == '\\' && at[2] == 'u') {
                code = 0x10000 + ((code - 0xD800) << 10) + (unit(at + 3) - 0xDC00);
                at += 6;
            }
            to = put(to, code);
        }
    }
    *to = 0;
    return result;
}

static char *quoted(const char *from) {
    char *result = room(6 * strlen(from) + 3), *to = result;
    *to++ = '"';
    for (; *from; from++) {
        unsigned char byte = *from;
        if (byte < 0x20) {
            to += sprintf(to, "\\u%04x", byte);
        } else {
            if (byte == '"' || byte == '\\') *to++ = '\\';
            *to++ = byte;
        }
    }
    strcpy(to, "\"");
    return result;
}

char *text(const char *format, ...) {
    va_list values;
    va_start(values, format);
    char *result = copy("", 0);
    size_t len = 0;
    while (*format) {
        size_t literal = strcspn(format, "%");
        char number[32], *more = number;
        if (literal) {
            more = copy(format, literal);
            format += literal;
        } else {
            switch (format[1]) {
            case 's': more = va_arg(values, char *); break;
            case 'J': more = quoted(va_arg(values, const char *)); break;
            case 'd': snprintf(number, sizeof number, "%d", va_arg(values, int)); break;
            case 'g': snprintf(number, sizeof number, "%.15g", va_arg(values, double)); break;
            default: strcpy(number, "%");
            }
            format += 2;
        }
        char *longer = room(len + strlen(more) + 1);
        memcpy(longer, result, len);
        strcpy(longer + len, more);
        result = longer;
        len += strlen(more);
    }
    va_end(values);
    return result;
}
