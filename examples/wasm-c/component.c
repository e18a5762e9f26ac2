// What makes a component of the plugin: the functions of wit/kitfox.wit, as the canonical ABI passes them.
#include "kitfox.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(name) __attribute__((import_module("kitfox:plugin/host@0.1.0"), import_name(name)))

// A `string`: not ended by a zero.
typedef struct {
    const char *at;
    size_t len;
} String;

// A `result<json, string>`.
typedef struct {
    unsigned char is_err;
    String value;
} Result;

// The case of `handler` that this plugin has.
enum { handler_tool = 0 };

IMPORT("invoke")
void host_invoke(const char *member, size_t member_len, const char *arguments, size_t arguments_len, Result *result);

EXPORT("cabi_realloc")
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)old_size, (void)align;
    void *new = size ? realloc(old, size) : (void *)align;
    if (!new) abort();
    return new;
}

static char *ended(const char *at, size_t len) {
    char *text = cabi_realloc(NULL, 0, 1, len + 1);
    memcpy(text, at, len);
    text[len] = 0;
    return text;
}

bool ctx(const char *member, const char *arguments, char **answer) {
    Result result;
    host_invoke(member, strlen(member), arguments, strlen(arguments), &result);
    *answer = ended(result.value.at, result.value.len);
    return !result.is_err;
}

EXPORT("describe")
String *component_describe(void) {
    static String result;
    result.at = describe();
    result.len = strlen(result.at);
    return &result;
}

EXPORT("call")
Result *component_call(int handler, const char *name, size_t name_len, const char *argument, size_t argument_len) {
    static Result result;
    char *answer = "this plugin has tools only";
    result.is_err = handler != handler_tool || !call_tool(ended(name, name_len), ended(argument, argument_len), &answer);
    result.value = (String){answer, strlen(answer)};
    return &result;
}
