//! The tools of the plugin: lists that a user keeps, and a search in them that forgives typos.

use serde_json::{Value, json};

use crate::likeness::likeness;

/// Calls a member of `ctx` by the name that it has in scripts.
pub type Ctx<'a> = &'a dyn Fn(&str, Value) -> Result<Value, String>;

/// Below it, what is found is no more than chance.
const LEAST_LIKENESS: f64 = 0.3;

pub fn describe() -> Value {
    json!([
        {
            "name": "save_list",
            "description": "Keeps a list of the user's under a name, to search in later; what was there under it goes.",
            "parameters": {
                "name": { "type": "string", "description": "What the list is of, as `guests`" },
                "items": { "type": "array", "items": { "type": "string" } },
            },
            "examples": ["save the list {name} with {items}"],
        },
        {
            "name": "find_in_list",
            "description": "Finds what is most like a text in a list that was saved, misspelt or cut short as it may be.",
            "parameters": {
                "name": { "type": "string", "description": "The list's name" },
                "query": { "type": "string" },
                "limit": { "type": "integer", "minimum": 1, "maximum": 50, "default": 5 },
            },
            "examples": ["find {query} in {name}"],
        },
    ])
}

/// An error is told to the model, which may mend it.
pub fn call(name: &str, arguments: &Value, ctx: Ctx<'_>) -> Result<Value, String> {
    let list = arguments["name"].as_str().unwrap_or_default();
    match name {
        "save_list" => save(list, &arguments["items"], ctx),
        "find_in_list" => {
            let query = arguments["query"].as_str().unwrap_or_default();
            find(list, query, arguments["limit"].as_u64().unwrap_or(5), ctx)
        }
        _ => Err(format!("there is no tool {name}")),
    }
}

fn key(list: &str) -> String {
    format!("list {}", list.trim().to_lowercase())
}

fn save(list: &str, items: &Value, ctx: Ctx<'_>) -> Result<Value, String> {
    ctx("kv.user.set", json!([key(list), items]))?;
    Ok(json!({ "saved": items.as_array().map_or(0, Vec::len) }))
}

fn find(list: &str, query: &str, limit: u64, ctx: Ctx<'_>) -> Result<Value, String> {
    let items = ctx("kv.user.get", json!([key(list)]))?;
    let Some(items) = items.as_array() else {
        return Err(format!("there is no list `{list}`: save it with `save_list` first"));
    };
    let mut found: Vec<(f64, &str)> = items
        .iter()
        .filter_map(Value::as_str)
        .map(|item| (likeness(query, item), item))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        .collect();
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let found = found.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX));
    let percent = |likeness: f64| (likeness * 100.0).round() as u8;
    Ok(found
        .map(|(likeness, item)| json!({ "item": item, "percent": percent(likeness) }))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_was_saved_is_found_again_best_first() {
        let kept = RefCell::new(Value::Null);
        let ctx = |member: &str, arguments: Value| {
            if member == "kv.user.set" {
                kept.replace(arguments[1].clone());
            }
            Ok(kept.borrow().clone())
        };
        let list =
            json!({ "name": "Guests", "items": ["Grace Hopper", "Ada Lovelace", "Alan Turing"] });
        assert_eq!(call("save_list", &list, &ctx), Ok(json!({ "saved": 3 })));
        let query = json!({ "name": "guests", "query": "lovelase ada", "limit": 1 });
        let found = call("find_in_list", &query, &ctx).unwrap();
        assert_eq!(found[0]["item"], "Ada Lovelace");
        assert_eq!(found[1], Value::Null);
    }

    #[test]
    fn a_list_that_was_not_saved_is_asked_for() {
        let ctx = |_: &str, _: Value| Ok(Value::Null);
        let error = call("find_in_list", &json!({ "name": "guests", "query": "ada" }), &ctx);
        assert!(error.unwrap_err().contains("save it with `save_list` first"));
    }
}
