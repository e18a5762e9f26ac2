//! What a handler reaches outside.

use serde_json::{Map, Value, json};

use super::{Arguments, HostCall};
use crate::plugin::{CallError, HttpBody, HttpRequest, HttpResponse, Redirects, fields::Fields};

impl HostCall {
    pub async fn http(
        &self,
        member: &str,
        arguments: &mut Arguments<'_>,
    ) -> Result<Value, CallError> {
        let method = match member {
            "http.request" => arguments.text("a method")?,
            other => other.trim_start_matches("http.").to_owned(),
        };
        let url = arguments.text("a url")?;
        let request = read_http_request(&method, &url, &format!("ctx.{member}"), arguments.any())?;
        let answer = self
            .host
            .http(&self.plugin.manifest, &self.context, request, Redirects::Follow)
            .await?;
        let HttpResponse { status, headers, body } = answer;
        let json = serde_json::from_slice::<Value>(&body).ok();
        let body = String::from_utf8_lossy(&body);
        Ok(json!({ "status": status, "headers": headers, "body": body, "json": json }))
    }

    pub async fn call_tool(&self, arguments: &mut Arguments<'_>) -> Result<Value, CallError> {
        let name = arguments.text("the name of a tool")?;
        let given = Value::Object(arguments.map("the arguments")?);
        self.host.call_tool(&self.plugin.manifest, &self.context, &name, given).await
    }
}

/// Reads what `ctx.http` is given.
pub fn read_http_request(
    method: &str,
    url: &str,
    of: &str,
    options: Value,
) -> Result<HttpRequest, String> {
    // Null is a value here: it is sent as such.
    let null = options.get("json").is_some_and(Value::is_null);
    let known = ["query", "headers", "json", "body", "timeout", "credential"];
    let mut options = Fields::read(of, options, &known)?;
    let json = options.any("json").or_else(|| null.then_some(Value::Null));
    let body = match (json, options.text("body")?) {
        (None, None) => HttpBody::None,
        (Some(json), None) => HttpBody::Json(json),
        (None, Some(text)) => HttpBody::Text(text),
        (Some(_), Some(_)) => {
            return Err(format!("`{of}` has both `json` and `body`: leave one of them out"));
        }
    };
    Ok(HttpRequest {
        method: method.to_ascii_uppercase(),
        url: url.to_owned(),
        query: pairs(of, "query", options.map("query")?)?,
        headers: pairs(of, "headers", options.map("headers")?)?,
        body,
        timeout: options.seconds("timeout")?,
        credential: options.text("credential")?,
    })
}

/// A map as names and values: an array gives one of each entry, null none.
fn pairs(
    of: &str,
    key: &str,
    map: Option<Map<String, Value>>,
) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (name, value) in map.unwrap_or_default() {
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(format!(
                        "`{key}` of `{of}` must be a map of strings, numbers and arrays of these"
                    ));
                }
            };
            pairs.push((name.clone(), text));
        }
    }
    Ok(pairs)
}
