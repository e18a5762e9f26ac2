"""A plugin of Kitfox with one tool."""

import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import host
from wit_world.imports.types import Handler_Tool


def ctx(member, *arguments):
    """Calls a member of `ctx` by the name that it has in scripts."""
    return json.loads(host.invoke(member, json.dumps(arguments)))


def greet(who):
    if not who:
        # Told to the model, which may mend it.
        raise Err("say whom to greet")
    greeted = (ctx("kv.all.get", "greeted") or 0) + 1
    ctx("kv.all.set", "greeted", greeted)
    ctx("log", "info", f"greeted {greeted} by now")
    return {"greeting": f"Hello, {who}!", "greeted": greeted}


DESCRIBED = {
    "TOOL": {
        "description": "Greets somebody.",
        "parameters": {"who": {"type": "string", "description": "Whom to greet"}},
        "examples": ["say hello to {who}"],
    },
}
FUNCTIONS = {"TOOL": greet}


class WitWorld(wit_world.WitWorld):
    def describe(self) -> str:
        return json.dumps({"tools": [{"name": name, **tool} for name, tool in DESCRIBED.items()]})

    def call(self, handler, argument: str) -> str:
        if not isinstance(handler, Handler_Tool) or handler.value not in FUNCTIONS:
            raise Err(f"there is no {handler}")
        return json.dumps(FUNCTIONS[handler.value](**json.loads(argument)))
