"""A notes server that wants to know who asks: every tool takes user_id and access_token.

What reaches it is written to audit.jsonl, so that one can see who was really called as whom. It speaks MCP over
stdio, and needs nothing but Python.
"""

import hashlib
import hmac
import json
import sys

TOKENS = {"alice": "token-of-alice-1111", "bob": "token-of-bob-2222"}
NOTES = {user: [] for user in TOKENS}

WHO = {
    "user_id": {"type": "string", "description": "The caller's user id"},
    "access_token": {"type": "string", "description": "The caller's access token"},
}


def tool(name, description, **properties):
    properties = properties | WHO
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": description, "inputSchema": schema}


TOOLS = [
    tool("list_notes", "List the caller's notes."),
    tool("add_note", "Add a note of the caller.", text={"type": "string", "description": "The note"}),
]


def call(name, arguments):
    user, token = arguments.get("user_id", ""), arguments.get("access_token", "")
    allowed = hmac.compare_digest(TOKENS.get(user, "").encode(), token.encode()) and user in TOKENS
    with open("audit.jsonl", "a") as audit:
        digest = hashlib.sha256(token.encode()).hexdigest()[:16]
        entry = {"tool": name, "user_id": user, "allowed": allowed, "token_sha256": digest}
        audit.write(json.dumps(entry) + "\n")
    if not allowed:
        return f"{user} is not who the token says", True
    if name == "add_note":
        NOTES[user].append(arguments["text"])
    return json.dumps(NOTES[user]), False


def answer(request):
    method, params = request["method"], request.get("params", {})
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "notes", "version": "1.0"},
        }
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        text, failed = call(params["name"], params.get("arguments", {}))
        return {"content": [{"type": "text", "text": text}], "isError": failed}
    return {} if method == "ping" else None


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = answer(request)
    reply = {"jsonrpc": "2.0", "id": request["id"]}
    if result is None:
        reply["error"] = {"code": -32601, "message": "Method not found"}
    else:
        reply["result"] = result
    print(json.dumps(reply), flush=True)
