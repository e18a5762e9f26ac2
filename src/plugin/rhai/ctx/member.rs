//! Better words for members that are not there.

use rhai::{Dynamic, FuncRegistration, Module};

use super::{
    super::{
        engine::did_you_mean,
        error::{Failure, fail},
        global::Date,
    },
    Ctx,
    attachment::AttachmentHandle,
    http::{Http, Response},
    kv::{Kv, KvRoot},
    thread::ThreadHandle,
    widget::StreamHandle,
    workflow::{TaskHandle, WorkflowHandle},
};

/// What one of our objects has.
struct Members {
    name: &'static str,
    properties: &'static [&'static str],
    functions: &'static [&'static str],
    /// Functions and properties that a later version brings.
    later: &'static [&'static str],
}

const CTX: Members = Members {
    name: "ctx",
    properties: &[
        "agent",
        "http",
        "item",
        "kv",
        "locale",
        "metadata",
        "now",
        "page",
        "request",
        "selected_text",
        "thread",
        "user",
    ],
    functions: &[
        "ask",
        "call_tool",
        "cite",
        "client_tool",
        "data",
        "effect",
        "env",
        "error",
        "hidden",
        "image",
        "log",
        "model",
        "notice",
        "pick",
        "progress",
        "random",
        "remove",
        "render",
        "replace",
        "respond",
        "say",
        "stream_widget",
        "t",
        "task",
        "update",
        "widget",
        "workflow",
    ],
    later: &["search"],
};

const THREAD: Members = Members {
    name: "ctx.thread",
    properties: &["allowed_image_domains", "created_at", "id", "metadata", "status", "title"],
    functions: &[],
    later: &[],
};

const ATTACHMENT: Members = Members {
    name: "the attachment",
    properties: &["id", "item", "mime_type", "name", "size"],
    functions: &["bytes", "text"],
    later: &[],
};

const STREAM: Members = Members {
    name: "the widget",
    properties: &["id"],
    functions: &["done", "remove", "update"],
    later: &[],
};

const WORKFLOW: Members =
    Members { name: "the workflow", properties: &[], functions: &["done", "task"], later: &[] };

const TASK: Members =
    Members { name: "the task", properties: &[], functions: &["done", "update"], later: &[] };

const KV_ROOT: Members =
    Members { name: "ctx.kv", properties: &["all", "thread", "user"], functions: &[], later: &[] };

const KV: Members = Members {
    name: "ctx.kv.…",
    properties: &[],
    functions: &["delete", "get", "list", "set", "update"],
    later: &[],
};

const HTTP: Members = Members {
    name: "ctx.http",
    properties: &[],
    functions: &["delete", "get", "post", "put", "request"],
    later: &[],
};

const RESPONSE: Members = Members {
    name: "the response",
    properties: &["body", "headers", "json", "status", "text"],
    functions: &[],
    later: &[],
};

const DATE: Members =
    Members { name: "the date", properties: &[], functions: &["format"], later: &[] };

/// What to say of the function `name` of `object`, where there is none.
pub fn missing(object: &Dynamic, name: &str) -> Option<String> {
    let members = of(object)?;
    if members.functions.contains(&name) {
        return None;
    }
    // Rhai's own, for every type.
    if matches!(name, "to_string" | "to_debug" | "type_of" | "print" | "debug" | "==" | "!=") {
        return None;
    }
    // The engine asks for properties by functions of these names.
    if name.contains('$') {
        return None;
    }
    Some(members.describe(name))
}

fn of(object: &Dynamic) -> Option<&'static Members> {
    if object.is::<Ctx>() {
        Some(&CTX)
    } else if object.is::<ThreadHandle>() {
        Some(&THREAD)
    } else if object.is::<AttachmentHandle>() {
        Some(&ATTACHMENT)
    } else if object.is::<KvRoot>() {
        Some(&KV_ROOT)
    } else if object.is::<Kv>() {
        Some(&KV)
    } else if object.is::<Http>() {
        Some(&HTTP)
    } else if object.is::<Response>() {
        Some(&RESPONSE)
    } else if object.is::<StreamHandle>() {
        Some(&STREAM)
    } else if object.is::<WorkflowHandle>() {
        Some(&WORKFLOW)
    } else if object.is::<TaskHandle>() {
        Some(&TASK)
    } else if object.is::<Date>() {
        Some(&DATE)
    } else {
        None
    }
}

impl Members {
    fn describe(&self, name: &str) -> String {
        let Self { name: object, properties, functions, later } = self;
        if later.contains(&name) {
            return format!("`{object}.{name}` is not available in this version");
        }
        if functions.contains(&name) {
            return format!("`{object}.{name}` is a function: write `{object}.{name}(…)`");
        }
        if properties.contains(&name) {
            return format!("`{object}.{name}` is no function: write `{object}.{name}`");
        }
        let known = properties.iter().chain(*functions).copied();
        format!("`{object}` has no `{name}`{}", did_you_mean(name, known))
    }
}

pub fn register(module: &mut Module) {
    object::<Ctx>(module, &CTX);
    object::<ThreadHandle>(module, &THREAD);
    object::<AttachmentHandle>(module, &ATTACHMENT);
    object::<KvRoot>(module, &KV_ROOT);
    object::<Kv>(module, &KV);
    object::<Http>(module, &HTTP);
    object::<Response>(module, &RESPONSE);
    object::<StreamHandle>(module, &STREAM);
    object::<WorkflowHandle>(module, &WORKFLOW);
    object::<TaskHandle>(module, &TASK);
    object::<Date>(module, &DATE);
}

/// Names a type, and answers for the properties that it has not.
fn object<T: Clone + Send + Sync + 'static>(module: &mut Module, members: &'static Members) {
    module.set_custom_type::<T>(members.name);
    FuncRegistration::new_index_getter()
        .set_into_module(module, |_: &mut T, name: &str| -> Result<Dynamic, Failure> {
            Err(fail(members.describe(name)))
        });
}
