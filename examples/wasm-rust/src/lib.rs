//! What makes a component of the tools in `tools.rs`.

mod likeness;
mod tools;

use serde_json::{Value, json};

use kitfox::plugin::host;

wit_bindgen::generate!({ path: "../../plugins/kitfox.wit", world: "plugin" });

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        json!({ "tools": tools::describe() }).to_string()
    }

    fn call(handler: Handler, argument: String) -> Result<String, String> {
        let argument = serde_json::from_str(&argument).map_err(|err| err.to_string())?;
        match handler {
            Handler::Tool(name) => tools::call(&name, &argument, &ctx).map(|it| it.to_string()),
            other => Err(format!("there is no {other:?}")),
        }
    }
}

fn ctx(member: &str, arguments: Value) -> Result<Value, String> {
    let answer = host::invoke(member, &arguments.to_string())?;
    serde_json::from_str(&answer).map_err(|err| err.to_string())
}

export!(Plugin);
