//! An attachment, as `ctx.item` and the event of `attachment` hold it.

use std::sync::Arc;

use rhai::{Blob, Dynamic, FuncRegistration, Module};
use serde_json::{Value, json};

use super::{
    super::{error::Failure, value::to_dynamic},
    Call, function,
};
use crate::{chatkit::AttachmentId, plugin::ctx::HostCall};

/// What is known of an attachment, and a way to its bytes. It holds nothing that changes.
#[derive(Clone)]
pub struct AttachmentHandle(Arc<Inner>);

struct Inner {
    call: Arc<Call>,
    id: AttachmentId,
    name: String,
    mime_type: String,
    /// None: it was not needed yet.
    size: Option<u64>,
    /// The message, in an event.
    item: Value,
}

pub fn register(module: &mut Module) {
    get(module, "id", |it| Ok(it.id.as_str().into()));
    get(module, "name", |it| Ok(it.name.as_str().into()));
    get(module, "mime_type", |it| Ok(it.mime_type.as_str().into()));
    get(module, "size", |it| Ok(i64::try_from(it.size()?).unwrap_or(i64::MAX).into()));
    get(module, "item", |it| Ok(to_dynamic(&it.item)));
    function("bytes").set_into_module(
        module,
        |attachment: &mut AttachmentHandle| -> Result<Blob, Failure> {
            // A blob counts as an array.
            attachment.0.read(|limits| limits.entries)
        },
    );
    function("text").set_into_module(
        module,
        |attachment: &mut AttachmentHandle| -> Result<Dynamic, Failure> {
            let bytes = attachment.0.read(|limits| limits.string_bytes)?;
            Ok(String::from_utf8(bytes).map_or(Dynamic::UNIT, Into::into))
        },
    );
}

impl AttachmentHandle {
    /// Of an attachment of a message, or of an event.
    pub fn new(call: &Arc<Call>, attachment: &Value) -> Self {
        let text = |key: &str| attachment[key].as_str().unwrap_or_default();
        Self(Arc::new(Inner {
            call: call.clone(),
            id: text("id").into(),
            name: text("name").to_owned(),
            mime_type: text("mime_type").to_owned(),
            size: attachment["size"].as_u64(),
            item: attachment["item"].clone(),
        }))
    }

    pub fn to_json(&self) -> Result<Value, String> {
        let Inner { id, name, mime_type, .. } = &*self.0;
        let size = self.0.size().map_err(|err| err.to_string())?;
        Ok(json!({ "id": id, "name": name, "mime_type": mime_type, "size": size }))
    }
}

impl Inner {
    fn size(&self) -> Result<u64, Failure> {
        if let Some(size) = self.size {
            return Ok(size);
        }
        let HostCall { host, context, .. } = &self.call.host_call;
        Ok(self.call.wait(host.attachment(context, &self.id))?.size)
    }

    fn read(
        &self,
        most: impl Fn(&crate::config::PluginLimits) -> usize,
    ) -> Result<Vec<u8>, Failure> {
        let HostCall { host, context, .. } = &self.call.host_call;
        let most = most(&host.config.limits.plugin);
        self.call.wait(host.attachment_bytes(context, &self.id, most))
    }
}

fn get(
    module: &mut Module,
    name: &str,
    read: impl Fn(&Inner) -> Result<Dynamic, Failure> + Send + Sync + 'static,
) {
    let read = move |attachment: &mut AttachmentHandle| read(&attachment.0);
    FuncRegistration::new_getter(name).set_into_module(module, read);
}
