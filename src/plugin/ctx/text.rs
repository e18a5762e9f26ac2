//! Text, and the pack's own files.

use serde_json::Value;

use super::{Arguments, HostCall};
use crate::plugin::{Assets, CallError};

impl HostCall {
    pub fn translate(&self, arguments: &mut Arguments<'_>) -> Result<Value, String> {
        let key = arguments.text("a key")?;
        let vars = arguments.map("the values")?;
        let locale = self.context.request.request.locale.as_deref();
        let text = self.plugin.assets.translate(locale, &key, |name| vars.get(name).map(shown));
        Ok(text.into())
    }
}

/// A text as it is, and other JSON as it is written.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A file of the pack's data/: `.json` is parsed, others are text.
pub fn data(assets: &Assets, path: &str) -> Result<Value, CallError> {
    let bytes = assets.data(path)?;
    if path.rsplit('.').next().is_some_and(|it| it.eq_ignore_ascii_case("json")) {
        return serde_json::from_slice(bytes)
            .map_err(|err| CallError::Thrown(format!("data/{path} is not valid JSON: {err}")));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(CallError::Thrown(format!(
            "data/{path} is no text: read its bytes by `data` of the interface `host`"
        ))),
    }
}
