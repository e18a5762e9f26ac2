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
use crate::chatkit::{UserMessageContent, UserMessageItem};

pub fn register(module: &mut Module) {
    getter(module, "user", |call| Ok(of(&call.context.request.user)));
    getter(module, "page", |call| Ok(of(&call.context.request.page)));
    getter(module, "selected_text", |call| Ok(of(&call.context.request.selected_text)));
    getter(module, "metadata", |call| Ok(of(&call.context.request.metadata)));
    getter(module, "request", |call| Ok(of(&call.context.request.request)));
    getter(module, "locale", |call| Ok(of(&call.context.request.request.locale)));
    getter(module, "agent", |call| Ok(of(&call.context.agent)));
    rhai::FuncRegistration::new_getter("item").set_into_module(module, |ctx: &mut super::Ctx| {
        ctx.0.context.item.as_deref().map_or(Dynamic::UNIT, |item| message(&ctx.0, item))
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

/// The user message as handlers see it.
fn message(call: &Arc<Call>, item: &UserMessageItem) -> Dynamic {
    let tags = item.content.iter().filter_map(|part| match part {
        UserMessageContent::InputTag(tag) => Some(tag),
        UserMessageContent::InputText { .. } => None,
    });
    let mut shown = to_dynamic(&json!({
        "id": item.id,
        "created_at": item.created_at,
        "text": item.text(),
        "tags": tags.collect::<Vec<_>>(),
        "quoted_text": item.quoted_text,
        "tool_choice": item.inference_options.tool_choice.as_ref().map(|it| &it.id),
        "model": item.inference_options.model,
    }));
    if let Some(mut shown) = shown.write_lock::<Map>() {
        let attachments = item
            .attachments
            .iter()
            .map(|it| Dynamic::from(AttachmentHandle::new(call, &json!(it))));
        shown.insert("attachments".into(), attachments.collect::<Array>().into());
    }
    shown
}

fn of(value: &impl Serialize) -> Dynamic {
    serde_json::to_value(value).map_or(Dynamic::UNIT, |json| to_dynamic(&json))
}
