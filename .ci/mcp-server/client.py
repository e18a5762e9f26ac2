"""The Python SDK's client against `POST /mcp` of a server that takes its users' word: `client.py URL PROJECT`."""

import asyncio
import pathlib
import sys

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

URL, PROJECT = sys.argv[1], pathlib.Path(sys.argv[2])
MODES = {"legacy": "2025-11-25", "auto": "2026-07-28", "2026-07-28": "2026-07-28"}
TOOL = 'tool(#{ name: "%s", description: "Is new.", mcp: true, parameters: #{}, run: |args, ctx| "new" });'


def connect(http: httpx2.AsyncClient, mode: str) -> Client:
    return Client(streamable_http_client(URL, http_client=http), mode=mode)


def person(user: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers={"x-user-id": user}, timeout=30, trust_env=False)


async def check_tools(mode: str) -> None:
    async with person("ada") as http, connect(http, mode) as client:
        assert client.protocol_version == MODES[mode], client.protocol_version
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert "test_simple_text" in tools and "test_needs_approval" not in tools, sorted(tools)
        assert tools["test_simple_text"].title == "Simple text"
        assert tools["test_simple_text"].annotations.read_only_hint is True

        result = await client.call_tool("test_simple_text")
        assert result.content[0].text == "This is a simple text response for testing."
        kinds = [part.type for part in (await client.call_tool("test_multiple_content_types")).content]
        assert kinds == ["text", "image", "resource"], kinds

        result = await client.call_tool("whoami")
        assert result.structured_content == {"user": "ada", "thread": None}, result

        result = await client.call_tool("test_error_handling")
        assert result.is_error and "`test_error_handling`: " in result.content[0].text, result
        result = await client.call_tool("test_custom_headers", {"region": 5})
        assert result.is_error and "/region" in result.content[0].text, result
        for name in ("no_such_tool", "test_needs_approval", "echo"):
            try:
                result = await client.call_tool(name)
            except MCPError as error:
                assert error.code == -32602 and name in error.message, error
            else:
                raise AssertionError(f"{name} was called: {result}")

        told = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            told.append((done, total, message))

        await client.call_tool("test_tool_with_progress", progress_callback=progress)
        assert told == [(1, None, "begun"), (2, None, "half done"), (3, None, "done")], told


async def check_users() -> None:
    """200 interleaved calls of two users, in both eras."""
    async with person("ada") as ada, person("bob") as bob:
        async with (
            connect(ada, "legacy") as ada_old,
            connect(ada, "2026-07-28") as ada_new,
            connect(bob, "legacy") as bob_old,
            connect(bob, "2026-07-28") as bob_new,
        ):
            clients = [("ada", ada_old), ("bob", bob_old), ("ada", ada_new), ("bob", bob_new)]
            calls = [(user, client.call_tool("whoami")) for _ in range(50) for user, client in clients]
            results = await asyncio.gather(*(call for _, call in calls))
            for (user, _), result in zip(calls, results):
                assert result.structured_content["user"] == user, (user, result)


async def check_reload() -> None:
    """A new file is a new tool, and whoever listens is told."""
    file = PROJECT / "plugins" / "new.rhai"
    async with person("ada") as http, connect(http, "2026-07-28") as client:
        async with client.listen(tools_list_changed=True) as changes:
            file.write_text(TOOL % "added_later")
            await asyncio.wait_for(anext(aiter(changes)), 20)
            assert "added_later" in [tool.name for tool in (await client.list_tools()).tools]
            assert (await client.call_tool("added_later")).content[0].text == "new"
            file.unlink()
            await asyncio.wait_for(anext(aiter(changes)), 20)
            assert "added_later" not in [tool.name for tool in (await client.list_tools()).tools]


async def check_strangers() -> None:
    """Who says no name, or comes from a page of another origin, gets nothing."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(headers=accept, trust_env=False) as http:
        assert (await http.post(URL, json=body)).status_code == 401
        ada = {"x-user-id": "ada"}
        assert (await http.post(URL, json=body, headers=ada)).status_code == 200
        foreign = {**ada, "origin": "https://evil.example"}
        assert (await http.post(URL, json=body, headers=foreign)).status_code == 403
        rebound = {**ada, "host": "evil.example"}
        assert (await http.post(URL, json=body, headers=rebound)).status_code == 403
        assert (await http.get(URL, headers=ada)).status_code == 405


async def main() -> None:
    for mode in MODES:
        await check_tools(mode)
        print(f"tools, {mode}: as they should be")
    await check_users()
    print("200 calls of two users: each as its own")
    await check_reload()
    print("a change of the files: told, listed and called")
    await check_strangers()
    print("strangers: refused")


asyncio.run(main())
