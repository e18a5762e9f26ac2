"""Kitfox as the client that MCP's conformance suite tests: client.py URL, with the scenario in the environment.

A model that follows a script calls the tools that the scenario is about, in a chat; a user logs in where a card asks for it, and
answers what servers ask. The program is $KITFOX_BINARY.
"""

import contextlib
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

SCENARIO = os.environ["MCP_CONFORMANCE_SCENARIO"]
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
BINARY = os.environ["KITFOX_BINARY"]
USER = {"X-User-ID": "ada"}
# Clients that run at one time.
AT_ONE_TIME = 2
# What a scenario's user clicks through at most, and how often they log in before they give up.
MOST_STEPS = 12
MOST_LOGINS = 3

INVALID = [
    "empty_header", "object_header", "array_header", "null_header", "number_header", "duplicate_same_case",
    "duplicate_diff_case", "space_in_name", "colon_in_name", "non_ascii_name", "control_char_name",
]  # fmt: skip

# The tools that the model calls, at one time; those of a scenario that is not here: `test-tool`, after a login.
CALLS = {
    "initialize": [],
    "request-metadata": [],
    "json-schema-ref-no-deref": [("lookup_user", {"id": "a"})],
    "tools_call": [("add_numbers", {"a": 5, "b": 3})],
    "elicitation-sep1034-client-defaults": [("test_client_elicitation_defaults", {})],
    "sse-retry": [("test_reconnection", {})],
    "sep-2322-client-request-state": [
        ("test_mrtr_echo_state", {}),
        ("test_mrtr_no_state", {}),
        ("test_mrtr_unrelated", {}),
        ("test_mrtr_no_result_type", {}),
    ],
    "http-standard-headers": [("test_headers", {}), ("my-hyphenated-tool", {})],
    # Tools that are not offered are called all the same.
    "http-invalid-tool-headers": [("valid_tool", {"region": "a"})] + [(f"invalid_{it}", {"value": "a"}) for it in INVALID],
}


def calls(project):
    """What the model calls, each with its arguments."""
    if "toolCalls" in CONTEXT:
        return [(it["name"], it["arguments"]) for it in CONTEXT["toolCalls"]]
    if SCENARIO == "json-schema-2020-12-preservation":
        out = subprocess.run(
            [BINARY, "--project", project, "--json", "mcp", "inspect", "server"], capture_output=True, check=True
        ).stdout
        tools = {it["name"]: it["parameters"] for it in json.loads(out)["tools"]}
        return [("json_schema_echo", {"schema": tools["server__json_schema_2020_12_tool"]})]
    return CALLS.get(SCENARIO, [("test-tool", {})])


def write_project(project, url, port):
    plugin = ["transport = 'http'", f"url = '{url}'", "approval = 'never'"]
    if SCENARIO.startswith("auth/"):
        plugin += ["[oauth]", "label = 'Server'"]
        if SCENARIO == "auth/basic-cimd":
            # The suite knows one client id metadata document, which its operator has named here.
            plugin.append("client_id = 'https://conformance-test.local/client-metadata.json'")
        if "client_id" in CONTEXT:
            plugin.append(f"client_id = '{CONTEXT['client_id']}'")
        if "client_secret" in CONTEXT:
            plugin.append("client_secret = '${CLIENT_SECRET}'")
    (project / "plugins").mkdir()
    (project / "prompts").mkdir()
    (project / "plugins/server.mcp.toml").write_text("\n".join(plugin))
    (project / "prompts/assistant.md").write_text("---\ntitles: false\n---\nYou are a test.\n")
    (project / "kitfox.toml").write_text(
        f"""
        [server]
        listen = "127.0.0.1:{port}"
        [store]
        url = "sqlite://{project}/kitfox.db"
        [auth]
        mode = "header"
        [providers.script]
        api = "scripted"
        file = "script.json"
        [models.default]
        provider = "script"
        model = "script"
        """
    )
    (project / "script.json").write_text("[]")


def write_script(project, called):
    """The model: a login where it is needed, the calls, and then it is done."""
    steps = [{"call": f"server__{name}", "args": arguments} for name, arguments in called]
    first = [[{"call": "server__connect", "args": {}}]] if SCENARIO.startswith("auth/") else []
    again = [steps] * 3 if SCENARIO.startswith("auth/") else [steps]
    script = [it for it in first + again if it] + [[{"text": "done"}]] * 8
    (project / "script.json").write_text(json.dumps(script))


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


class Browser:
    """A user's, which keeps cookies for Kitfox and follows links to wherever they lead."""

    def __init__(self, base):
        self.base = base
        self.cookies = {}
        self.opener = urllib.request.build_opener(NoRedirect)

    def open(self, url):
        for _ in range(10):
            headers = {}
            if url.startswith(self.base):
                headers = {**USER, "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
            try:
                response = self.opener.open(urllib.request.Request(url, headers=headers), timeout=20)
            except urllib.error.HTTPError as err:
                response = err
            for cookie in response.headers.get_all("set-cookie") or []:
                name, _, value = cookie.split(";")[0].partition("=")
                self.cookies[name] = value
            location = response.headers.get("location")
            if not location:
                print(f"opened {url}: {response.status}")
                return
            url = urllib.parse.urljoin(url, location)


class Chat:
    def __init__(self, base):
        self.base = base
        self.thread = None

    def send(self, operation, params):
        if self.thread:
            params = {"thread_id": self.thread, **params}
        body = json.dumps({"type": operation, "params": params}).encode()
        headers = {"content-type": "application/json", **USER}
        request = urllib.request.Request(f"{self.base}/chatkit", body, headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            lines = response.read().decode().split("\n\n")
        events = [json.loads(it.removeprefix("data: ")) for it in lines if it.startswith("data: ")]
        for event in events:
            print(json.dumps(event)[:600])
        if events and events[0]["type"] == "thread.created":
            self.thread = events[0]["thread"]["id"]
        return events

    def say(self, text):
        message = {
            "content": [{"type": "input_text", "text": text}],
            "attachments": [],
            "inference_options": {},
        }
        return self.send("threads.add_user_message" if self.thread else "threads.create", {"input": message})


def answers(item):
    """A user who takes defaults, and says yes."""
    chosen = {}
    for question in item["inputs"]:
        if "Skip it for" not in question["question"] + question.get("description", "") and "options" in question:
            chosen[question["id"]] = {"values": [question["options"][0]["value"]]}
    return {"answers": chosen}


def wait_for(url, good, seconds=20):
    last = None
    for _ in range(seconds * 10):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=USER), timeout=5) as response:
                last = response.read().decode()
                if good(last):
                    return
        except OSError as err:
            last = err
        time.sleep(0.1)
    raise SystemExit(f"{url}: {last}")


def converse(base):
    chat, browser = Chat(base), Browser(base)
    todo, logins = chat.say("go"), 0
    for _ in range(MOST_STEPS):
        # What is asked last is shown last, and what was asked stays until it is answered.
        items = [it["item"] for it in todo if it["type"] == "thread.item.done"]
        waiting = [it for it in items if it["type"] in ("structured_input", "widget")]
        if not waiting:
            return
        todo = []
        for item in waiting:
            if item["type"] == "structured_input":
                todo += chat.send("threads.add_structured_input", {"item_id": item["id"], "input": answers(item)})
                continue
            links = [re.search(r"\]\((.*)\)$", it.get("value", "")) for it in item["widget"]["children"]]
            for link in filter(None, links):
                logins += 1
                if logins > MOST_LOGINS:
                    return
                browser.open(link[1])
            action = {"type": "kitfox.approve"}
            todo += chat.send("threads.custom_action", {"item_id": item["id"], "action": action})


@contextlib.contextmanager
def turn():
    folder = os.environ.get("KITFOX_TURNS", tempfile.gettempdir())
    with open(f"{folder}/turn-{os.getpid() % AT_ONE_TIME}", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main():
    url = sys.argv[-1]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # As Kitfox calls itself in its links.
    base = f"http://localhost:{port}"
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        write_project(project, url, port)
        environment = {**os.environ, "CLIENT_SECRET": CONTEXT.get("client_secret", "")}
        called = calls(folder)
        write_script(project, called)
        log = open(project / "log", "wb")
        kitfox = subprocess.Popen(
            [BINARY, "--project", folder, "serve"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            wait_for(f"{base}/readyz", lambda _: True)
            # What wants a login is not ready before it.
            if not SCENARIO.startswith("auth/"):
                wait_for(f"{base}/api/mcp", lambda it: '"ready"' in it)
            if called:
                converse(base)
        finally:
            kitfox.terminate()
            kitfox.wait(timeout=20)
            print((project / "log").read_text()[-4000:])


with turn():
    main()
