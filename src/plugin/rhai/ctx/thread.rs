//! `ctx.thread`

use std::sync::Arc;

use rhai::{Array, Dynamic, FuncRegistration, Map, Module};
use serde_json::{Value, json};

use super::{
    super::{
        error::{Failure, fail},
        options::{Fault, Options},
        value::{to_dynamic, to_json},
    },
    Call,
};
use crate::{
    chatkit::{ThreadMetadata, ThreadStatus},
    tool::{ThreadPatch, TurnRequest},
};

/// The thread of a call. What can be set is read anew each time: other handlers may set it too.
#[derive(Clone)]
pub struct ThreadHandle(pub Arc<Call>);

impl ThreadHandle {
    pub fn to_json(&self) -> Result<Value, String> {
        let thread = self.load("thread").map_err(|err| err.to_string())?;
        Ok(json!({
            "id": thread.id,
            "created_at": thread.created_at,
            "title": thread.title,
            "metadata": thread.metadata,
            "allowed_image_domains": thread.allowed_image_domains,
            "status": to_json(&status(&thread.status))?,
        }))
    }

    fn load(&self, member: &str) -> Result<ThreadMetadata, Failure> {
        let thread = self.0.ask(&format!("thread.{member}"), TurnRequest::LoadThread)?;
        serde_json::from_value(thread)
            .map_err(|err| fail(format!("the thread is not readable: {err}")))
    }

    /// Rhai sets a property also where a function of its value was called: then nothing is new.
    fn patch(&self, member: &str, patch: ThreadPatch) -> Result<(), Failure> {
        let ThreadPatch { title, metadata, allowed_image_domains, status } = &patch;
        let thread = self.load(member)?;
        if title.as_ref().is_none_or(|it| *it == thread.title)
            && metadata.as_ref().is_none_or(|it| *it == thread.metadata)
            && allowed_image_domains.as_ref().is_none_or(|it| *it == thread.allowed_image_domains)
            && status.as_ref().is_none_or(|it| *it == thread.status)
        {
            return Ok(());
        }
        let request = TurnRequest::UpdateThread(patch);
        self.0.ask(&format!("thread.{member}"), request).map(drop)
    }
}

pub fn register(module: &mut Module) {
    get(module, "id", |thread| Ok(snapshot(thread, |it| it.id.as_str().into())));
    get(module, "created_at", |thread| Ok(snapshot(thread, |it| it.created_at.to_string().into())));
    get(module, "title", |thread| {
        Ok(thread.load("title")?.title.map_or(Dynamic::UNIT, Into::into))
    });
    get(module, "metadata", |thread| {
        Ok(to_dynamic(&Value::Object(thread.load("metadata")?.metadata)))
    });
    get(module, "status", |thread| Ok(status(&thread.load("status")?.status)));
    get(module, "allowed_image_domains", |thread| {
        let domains = thread.load("allowed_image_domains")?.allowed_image_domains;
        Ok(domains.map_or(Dynamic::UNIT, Into::into))
    });

    set(module, "title", |value| {
        let title = text(&value, "title")?;
        Ok(ThreadPatch { title: Some(title), ..ThreadPatch::default() })
    });
    set(module, "metadata", |value| match to_json(&value).map_err(fail)? {
        Value::Object(map) => Ok(ThreadPatch { metadata: Some(map), ..ThreadPatch::default() }),
        _ => Err(fail("`ctx.thread.metadata` must be a map, `#{…}`")),
    });
    set(module, "status", |value| {
        Ok(ThreadPatch { status: Some(read_status(&value)?), ..ThreadPatch::default() })
    });
    set(module, "allowed_image_domains", |value| {
        let domains = domains(value)?;
        Ok(ThreadPatch { allowed_image_domains: Some(domains), ..ThreadPatch::default() })
    });
}

fn get(
    module: &mut Module,
    name: &str,
    read: impl Fn(&ThreadHandle) -> Result<Dynamic, Failure> + Send + Sync + 'static,
) {
    let read = move |thread: &mut ThreadHandle| read(thread);
    FuncRegistration::new_getter(name).set_into_module(module, read);
}

fn set(
    module: &mut Module,
    name: &'static str,
    read: impl Fn(Dynamic) -> Result<ThreadPatch, Failure> + Send + Sync + 'static,
) {
    let write = move |thread: &mut ThreadHandle, value: Dynamic| thread.patch(name, read(value)?);
    // The handle itself does not change: `ctx.thread` may be a constant.
    FuncRegistration::new_setter(name).with_purity(true).set_into_module(module, write);
}

fn snapshot(thread: &ThreadHandle, read: impl FnOnce(&ThreadMetadata) -> Dynamic) -> Dynamic {
    thread.0.context.thread.as_deref().map_or(Dynamic::UNIT, read)
}

fn text(value: &Dynamic, name: &str) -> Result<Option<String>, Failure> {
    if value.is_unit() {
        return Ok(None);
    }
    value
        .as_immutable_string_ref()
        .map(|it| Some(it.to_string()))
        .map_err(|_| fail(format!("`ctx.thread.{name}` must be a string or `()`")))
}

fn domains(value: Dynamic) -> Result<Option<Vec<String>>, Failure> {
    if value.is_unit() {
        return Ok(None);
    }
    value
        .into_array()
        .ok()
        .and_then(|array: Array| array.into_iter().map(|it| it.into_string().ok()).collect())
        .map(Some)
        .ok_or_else(|| {
            fail("`ctx.thread.allowed_image_domains` must be an array of strings or `()`")
        })
}

/// As it can be set: a word, or a map where there is a reason.
fn status(status: &ThreadStatus) -> Dynamic {
    let (word, reason) = match status {
        ThreadStatus::Active => ("active", None),
        ThreadStatus::Locked { reason } => ("locked", reason.clone()),
        ThreadStatus::Closed { reason } => ("closed", reason.clone()),
    };
    match reason {
        None => word.into(),
        Some(reason) => {
            let entries = [("type".into(), word.into()), ("reason".into(), reason.into())];
            Dynamic::from_map(Map::from(entries))
        }
    }
}

fn read_status(value: &Dynamic) -> Result<ThreadStatus, Failure> {
    let (word, reason) = match value.read_lock::<Map>() {
        Some(map) => {
            let read = || -> Result<_, Fault> {
                let mut options =
                    Options::new("ctx.thread.status", map.clone(), &["type", "reason"])?;
                Ok((options.required("type", Options::string)?, options.string("reason")?))
            };
            read().map_err(|fault| fail(fault.into_text()))?
        }
        None => (value.to_string(), None),
    };
    match word.as_str() {
        "active" => Ok(ThreadStatus::Active),
        "locked" => Ok(ThreadStatus::Locked { reason }),
        "closed" => Ok(ThreadStatus::Closed { reason }),
        other => Err(fail(format!(
            "`{other}` is no status of a thread: write `active`, `locked` or `closed`"
        ))),
    }
}
