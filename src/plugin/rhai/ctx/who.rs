//! Who and where.

use std::sync::Arc;

use rhai::{Array, Dynamic, Map, Module};
use serde::Serialize;
use serde_json::json;

use super::{
    super::{error::Failure, value::to_dynamic},
    Call,
    attachment::AttachmentHandle,
    getter,
    kv::KvRoot,
    thread::ThreadHandle,
};
use crate::{chatkit::UserMessageItem, plugin::ctx::message};

pub fn register(module: &mut Module) {
    getter(module, "user", |call| Ok(of(&call.context.request.user)));
    getter(module, "page", |call| Ok(of(&call.context.request.page)));
    getter(module, "selected_text", |call| Ok(of(&call.context.request.selected_text)));
    getter(module, "metadata", |call| Ok(of(&call.context.request.metadata)));
    getter(module, "request", |call| Ok(of(&call.context.request.request)));
    getter(module, "locale", |call| Ok(of(&call.context.request.request.locale)));
    getter(module, "agent", |call| Ok(of(&call.context.agent)));
    rhai::FuncRegistration::new_getter("item").set_into_module(module, |ctx: &mut super::Ctx| {
        ctx.0.context.item.as_deref().map_or(Dynamic::UNIT, |it| item(&ctx.0, it))
    });
    rhai::FuncRegistration::new_getter("thread").set_into_module(module, |ctx: &mut super::Ctx| {
        match &ctx.0.context.thread {
            Some(_) => Ok::<_, Failure>(Dynamic::from(ThreadHandle(Arc::clone(&ctx.0)))),
            None => Ok(Dynamic::UNIT),
        }
    });
    rhai::FuncRegistration::new_getter("kv")
        .set_into_module(module, |ctx: &mut super::Ctx| KvRoot(Arc::clone(&ctx.0)));
}

/// The user message, whose attachments have bytes.
fn item(call: &Arc<Call>, item: &UserMessageItem) -> Dynamic {
    let mut shown = to_dynamic(&message(item));
    if let Some(mut shown) = shown.write_lock::<Map>() {
        let handle = |it| Dynamic::from(AttachmentHandle::new(call, &json!(it)));
        let attachments = item.attachments.iter().map(handle);
        shown.insert("attachments".into(), attachments.collect::<Array>().into());
    }
    shown
}

fn of(value: &impl Serialize) -> Dynamic {
    serde_json::to_value(value).map_or(Dynamic::UNIT, |json| to_dynamic(&json))
}
