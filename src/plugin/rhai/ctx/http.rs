//! `ctx.http`

use std::{collections::BTreeMap, sync::Arc};

use rhai::{Blob, Dynamic, FuncRegistration, Map, Module};
use serde_json::{Value, json};

use super::{
    super::{
        error::{Failure, fail},
        options::{Fault, Options},
        value::to_dynamic,
    },
    Call, Ctx, function,
};
use crate::plugin::{HttpBody, HttpRequest};

/// `ctx.http`
#[derive(Clone)]
pub struct Http(Arc<Call>);

/// What a server answered. A type of its own, so that a body counts against the limits of strings once
/// it is read, and only then.
#[derive(Clone)]
pub struct Response(Arc<Answer>);

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

type Answered = Result<Response, Failure>;

pub fn register(module: &mut Module) {
    FuncRegistration::new_getter("http")
        .set_into_module(module, |ctx: &mut Ctx| Http(Arc::clone(&ctx.0)));
    for method in ["get", "post", "put", "delete"] {
        function(method).set_into_module(module, |http: &mut Http, url: &str| -> Answered {
            http.request(method, url, Map::new())
        });
        function(method).set_into_module(
            module,
            |http: &mut Http, url: &str, options: Map| -> Answered {
                http.request(method, url, options)
            },
        );
    }
    function("request").set_into_module(
        module,
        |http: &mut Http, method: &str, url: &str| -> Answered {
            http.request(method, url, Map::new())
        },
    );
    function("request").set_into_module(
        module,
        |http: &mut Http, method: &str, url: &str, options: Map| -> Answered {
            http.request(method, url, options)
        },
    );
    get(module, "status", |answer| i64::from(answer.status).into());
    get(module, "headers", |answer| {
        let entries = answer.headers.iter().map(|(name, it)| (name.as_str().into(), it.into()));
        Dynamic::from_map(entries.collect::<Map>())
    });
    get(module, "body", |answer| match std::str::from_utf8(&answer.body) {
        Ok(text) => text.into(),
        Err(_) => Dynamic::from_blob(Blob::from(answer.body.as_slice())),
    });
    get(module, "text", |answer| String::from_utf8_lossy(&answer.body).into_owned().into());
    get(module, "json", |answer| answer.json().as_ref().map_or(Dynamic::UNIT, to_dynamic));
}

fn get(module: &mut Module, name: &str, read: impl Fn(&Answer) -> Dynamic + Send + Sync + 'static) {
    let read = move |response: &mut Response| read(&response.0);
    FuncRegistration::new_getter(name).set_into_module(module, read);
}

impl Http {
    fn request(&self, method: &str, url: &str, options: Map) -> Answered {
        let request =
            read_request(method, url, options).map_err(|fault| fail(fault.into_text()))?;
        let Call { plugin, host, context, .. } = &*self.0;
        let answer = self.0.wait_apart(host.http(&plugin.manifest, context, request))?;
        let answer = Answer { status: answer.status, headers: answer.headers, body: answer.body };
        Ok(Response(Arc::new(answer)))
    }
}

impl Response {
    pub fn to_json(&self) -> Value {
        json!({
            "status": self.0.status,
            "headers": self.0.headers,
            "body": String::from_utf8_lossy(&self.0.body),
            "json": self.0.json(),
        })
    }
}

impl Answer {
    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

fn read_request(method: &str, url: &str, options: Map) -> Result<HttpRequest, Fault> {
    let function = format!("ctx.http.{method}");
    let known = ["query", "headers", "json", "body", "timeout", "credential"];
    let mut options = Options::new(&function, options, &known)?;
    if options.any("credential").is_some() {
        return Err(Fault::new(format!(
            "`credential` of `{function}` is not available in this version"
        )));
    }
    // `()` is a value here: it is sent as null.
    let json = options.json("json")?;
    let body = match (json, options.any("body")) {
        (None, None) => HttpBody::None,
        (Some(json), None) => HttpBody::Json(json),
        (None, Some(body)) => match body.read_lock::<Blob>() {
            Some(blob) => HttpBody::Bytes(blob.to_vec()),
            None => match body.as_immutable_string_ref() {
                Ok(text) => HttpBody::Text(text.to_string()),
                Err(_) => return Err(options.wrong_type("body", "a string or a blob", &body)),
            },
        },
        (Some(_), Some(_)) => {
            return Err(Fault::new(format!("`{function}` has both `json` and `body`"))
                .remedy("leave one of them out"));
        }
    };
    Ok(HttpRequest {
        method: method.to_ascii_uppercase(),
        url: url.to_owned(),
        query: pairs(&mut options, "query")?,
        headers: pairs(&mut options, "headers")?,
        body,
        timeout: options.seconds("timeout")?,
    })
}

/// A map as names and values: an array gives one of each entry, `()` none.
fn pairs(options: &mut Options<'_>, key: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut pairs = Vec::new();
    for (name, value) in options.map(key)?.unwrap_or_default() {
        let values = value.clone().into_array().unwrap_or_else(|_| vec![value]);
        for value in values.into_iter().filter(|it| !it.is_unit()) {
            if value.is_map() || value.is_array() || value.is_fnptr() {
                let what = "a map of strings, numbers and arrays of these";
                return Err(options.wrong_type(key, what, &value));
            }
            pairs.push((name.to_string(), value.to_string()));
        }
    }
    Ok(pairs)
}
