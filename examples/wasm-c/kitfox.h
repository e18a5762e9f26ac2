// What a plugin in C has of Kitfox. An instance serves one call, so nothing needs to be freed.
// Texts are UTF-8, and end at their first zero.
#ifndef KITFOX_H
#define KITFOX_H

#include <stdbool.h>
#include <stddef.h>

// --- what the plugin gives: see plugin.c

// The registration as JSON; wit/kitfox.wit says what it may hold.
const char *describe(void);

// Runs a tool. True: the answer is JSON. False: it is an error, told to the model.
bool call_tool(const char *name, const char *arguments, char **answer);

// --- what Kitfox gives: see component.c

// Calls a member of `ctx` by the name that it has in scripts, with a JSON array of arguments. True: the answer is JSON.
bool ctx(const char *member, const char *arguments, char **answer);

// --- JSON: see json.c

// A new text, made as by printf, of %s, %d, %g (a double), %% and %J (a string as JSON, with quotes).
char *text(const char *format, ...);

// The value of a key in a JSON object, as JSON; NULL where there is none.
char *json_get(const char *object, const char *key);

// A JSON string as text; "" for anything else, NULL included.
char *json_string(const char *value);

#endif
