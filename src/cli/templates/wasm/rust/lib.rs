//! A plugin of Kitfox with one tool.

use serde_json::{Value, json};

wit_bindgen::generate!({ path: "wit", world: "plugin" });

use kitfox::plugin::host;

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        json!({ "tools": [{
            "name": "TOOL",
            "description": "Greets somebody.",
            "parameters": { "who": { "type": "string", "description": "Whom to greet" } },
            "examples": ["say hello to {who}"],
        }] })
        .to_string()
    }

    fn call(handler: Handler, argument: String) -> Result<String, String> {
        let argument: Value = serde_json::from_str(&argument).map_err(|err| err.to_string())?;
        let result = match handler {
            Handler::Tool(name) if name == "TOOL" => greet(&argument)?,
            other => return Err(format!("there is no {other:?}")),
        };
        Ok(result.to_string())
    }
}

fn greet(arguments: &Value) -> Result<Value, String> {
    let who = arguments["who"].as_str().unwrap_or_default();
    if who.is_empty() {
        // Told to the model, which may mend it.
        return Err("say whom to greet".to_owned());
    }
    let greeted = ctx("kv.all.get", json!(["greeted"]))?.as_u64().unwrap_or(0) + 1;
    ctx("kv.all.set", json!(["greeted", greeted]))?;
    ctx("log", json!(["info", format!("greeted {greeted} by now")]))?;
    Ok(json!({ "greeting": format!("Hello, {who}!"), "greeted": greeted }))
}

/// Calls a member of `ctx` by the name that it has in scripts.
fn ctx(member: &str, arguments: Value) -> Result<Value, String> {
    let answer = host::invoke(member, &arguments.to_string())?;
    serde_json::from_str(&answer).map_err(|err| err.to_string())
}

export!(Plugin);
