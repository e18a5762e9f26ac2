use std::time::Duration;

use serde_json::{Map, Value};

use super::toml_file::nearest;

/// A map that a plugin gave, read key by key. Errors say what is wrong and what to do; null counts as absent.
pub struct Fields<'a> {
    /// Whose map it is, as `ctx.task`.
    of: &'a str,
    map: Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Fails where `value` is no map (absent is an empty one), or has a key that is not `known`.
    pub fn read(of: &'a str, value: Value, known: &[&str]) -> Result<Self, String> {
        let map = match value {
            Value::Null => Map::new(),
            Value::Object(map) => map,
            other => return Err(format!("`{of}` must be a map, and is {}", describe(&other))),
        };
        if let Some(unknown) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(match nearest(unknown, known) {
                Some(near) => format!("`{of}` knows no `{unknown}`: did you mean `{near}`?"),
                None => format!("`{of}` knows no `{unknown}`: it knows {}", list(known)),
            });
        }
        Ok(Self { of, map })
    }

    pub fn any(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    pub fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        match self.any(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "a string", &other)),
        }
    }

    pub fn required_text(&mut self, key: &str) -> Result<String, String> {
        self.text(key)?.ok_or_else(|| format!("`{}` lacks `{key}`", self.of))
    }

    pub fn boolean(&mut self, key: &str) -> Result<Option<bool>, String> {
        match self.any(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(key, "`true` or `false`", &other)),
        }
    }

    /// A positive number of seconds.
    pub fn seconds(&mut self, key: &str) -> Result<Option<Duration>, String> {
        let Some(value) = self.any(key) else { return Ok(None) };
        let seconds = value.as_f64().filter(|it| *it > 0.0);
        match seconds.and_then(|it| Duration::try_from_secs_f64(it).ok()) {
            Some(duration) => Ok(Some(duration)),
            None => Err(self.wrong(key, "a positive number of seconds", &value)),
        }
    }

    pub fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>, String> {
        match self.any(key) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(self.wrong(key, "an array", &other)),
        }
    }

    pub fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, String> {
        let Some(list) = self.list(key)? else { return Ok(None) };
        let text = |value| match value {
            Value::String(text) => Ok(text),
            other => Err(self.wrong(key, "an array of strings", &other)),
        };
        list.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    pub fn map(&mut self, key: &str) -> Result<Option<Map<String, Value>>, String> {
        match self.any(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(self.wrong(key, "a map", &other)),
        }
    }

    fn wrong(&self, key: &str, wanted: &str, value: &Value) -> String {
        format!("`{key}` of `{}` must be {wanted}, and is {}", self.of, describe(value))
    }
}

/// `` `a`, `b` and `c` ``
pub fn list(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        [name] => format!("`{name}`"),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|it| format!("`{it}`")).collect();
            format!("{} and `{last}`", first.join(", "))
        }
    }
}

/// A value as errors name it.
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_what_to_do() {
        let read = |value| Fields::read("ctx.task", value, &["title", "icon", "timeout"]);
        assert_snapshot!(read(json!(["a"])).err().unwrap(), @"`ctx.task` must be a map, and is an array");
        assert_snapshot!(read(json!({ "titel": 1 })).err().unwrap(), @"`ctx.task` knows no `titel`: did you mean `title`?");
        assert_snapshot!(read(json!({ "x": 1 })).err().unwrap(), @"`ctx.task` knows no `x`: it knows `title`, `icon` and `timeout`");
        let mut fields = read(json!({ "title": 3, "icon": null, "timeout": -1 })).unwrap();
        assert_snapshot!(fields.text("title").unwrap_err(), @"`title` of `ctx.task` must be a string, and is `3`");
        assert_snapshot!(fields.required_text("icon").unwrap_err(), @"`ctx.task` lacks `icon`");
        assert_snapshot!(fields.seconds("timeout").unwrap_err(), @"`timeout` of `ctx.task` must be a positive number of seconds, and is `-1`");
    }
}
