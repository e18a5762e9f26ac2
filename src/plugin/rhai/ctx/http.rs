//! `ctx.http`

use std::{collections::BTreeMap, sync::Arc};

use rhai::{Blob, Dynamic, FuncRegistration, Map, Module};
use serde_json::{Value, json};

use super::{
    super::{
        error::{Failure, fail},
        value::{to_dynamic, to_json},
    },
    Call, Ctx, function,
};
use crate::plugin::{
    HttpBody, HttpRequest, Redirects,
    ctx::{HostCall, read_http_request},
};

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
        let request = read_request(method, url, options).map_err(fail)?;
        let HostCall { plugin, host, context, .. } = &self.0.host_call;
        let answer =
            self.0.wait_apart(host.http(&plugin.manifest, context, request, Redirects::Follow))?;
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

/// As for components; a body may be a blob too.
fn read_request(method: &str, url: &str, mut options: Map) -> Result<HttpRequest, String> {
    let blob = options.get("body").and_then(|it| it.read_lock::<Blob>().map(|it| it.to_vec()));
    if blob.is_some() {
        options.remove("body");
    }
    let of = format!("ctx.http.{method}");
    let request = read_http_request(method, url, &of, to_json(&Dynamic::from_map(options))?)?;
    match (blob, &request.body) {
        (None, _) => Ok(request),
        (Some(blob), HttpBody::None) => Ok(HttpRequest { body: HttpBody::Bytes(blob), ..request }),
        (Some(_), _) => Err(format!("`{of}` has both `json` and `body`: leave one of them out")),
    }
}
