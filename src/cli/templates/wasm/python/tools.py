"""The tools of the plugin. `ctx` calls a member of `ctx` by the name that it has in scripts."""


class Refusal(Exception):
    """What is told to the model, which may mend it."""


def greet(ctx, who):
    if not who:
        raise Refusal("say whom to greet")
    # `kitfox call` has no thread to show it in.
    if ctx("thread"):
        ctx("progress", "sparkle", f"Greeting {who}")
    return {"greeting": f"Hello, {who}!", "times": count(ctx)}


def count(ctx):
    """What `kv` keeps may change meanwhile: then it is done again."""
    while True:
        before = ctx("kv.user.get", "times")
        times = (before or 0) + 1
        if ctx("kv.user.compare_and_set", "times", before, times):
            return times


ALL = {
    "TOOL": {
        "description": "Greets somebody, and counts how often.",
        "parameters": {"who": {"type": "string", "description": "Whom to greet"}},
        "examples": ["greet {who}"],
        "run": greet,
    },
}
