//! The tools of the plugin.

use serde_json::{Value, json};

/// Calls a member of `ctx` by the name that it has in scripts.
pub type Ctx<'a> = &'a dyn Fn(&str, Value) -> Result<Value, String>;

pub fn describe() -> Value {
    json!([{
        "name": "TOOL",
        "description": "Greets somebody, and counts how often.",
        "parameters": { "who": { "type": "string", "description": "Whom to greet" } },
        "examples": ["greet {who}"],
    }])
}

/// An error is told to the model, which may mend it.
pub fn call(name: &str, arguments: &Value, ctx: Ctx<'_>) -> Result<Value, String> {
    match name {
        "TOOL" => greet(arguments["who"].as_str().unwrap_or_default(), ctx),
        _ => Err(format!("there is no tool {name}")),
    }
}

fn greet(who: &str, ctx: Ctx<'_>) -> Result<Value, String> {
    if who.is_empty() {
        return Err("say whom to greet".to_owned());
    }
    // `kitfox call` has no thread to show it in.
    if !ctx("thread", json!([]))?.is_null() {
        ctx("progress", json!(["sparkle", format!("Greeting {who}")]))?;
    }
    let times = count(ctx)?;
    Ok(json!({ "greeting": format!("Hello, {who}!"), "times": times }))
}

/// What `kv` keeps may change meanwhile: then it is done again.
fn count(ctx: Ctx<'_>) -> Result<u64, String> {
    loop {
        let before = ctx("kv.user.get", json!(["times"]))?;
        let times = before.as_u64().unwrap_or(0) + 1;
        if ctx("kv.user.compare_and_set", json!(["times", before, times]))? == true {
            return Ok(times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ctx(member: &str, _: Value) -> Result<Value, String> {
        match member {
            "kv.user.get" => Ok(json!(2)),
            "kv.user.compare_and_set" => Ok(json!(true)),
            _ => Ok(Value::Null),
        }
    }

    #[test]
    fn it_greets_and_counts() {
        let greeted = call("TOOL", &json!({ "who": "Ada" }), &ctx);
        assert_eq!(greeted, Ok(json!({ "greeting": "Hello, Ada!", "times": 3 })));
    }

    #[test]
    fn it_asks_whom_to_greet() {
        let refused = call("TOOL", &json!({ "who": "" }), &ctx);
        assert_eq!(refused, Err("say whom to greet".to_owned()));
    }
}
