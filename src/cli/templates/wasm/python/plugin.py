"""What makes a component of the tools in tools.py."""

import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import host
from wit_world.imports.types import Handler_Tool

import tools


def ctx(member, *arguments):
    return json.loads(host.invoke(member, json.dumps(arguments)))


class WitWorld(wit_world.WitWorld):
    def describe(self) -> str:
        described = [
            {"name": name, **{key: value for key, value in tool.items() if key != "run"}}
            for name, tool in tools.ALL.items()
        ]
        return json.dumps({"tools": described})

    def call(self, handler, argument: str) -> str:
        if not isinstance(handler, Handler_Tool) or handler.value not in tools.ALL:
            raise Err(f"there is no {handler}")
        try:
            return json.dumps(tools.ALL[handler.value]["run"](ctx, **json.loads(argument)))
        except tools.Refusal as err:
            raise Err(str(err))
