//! `ctx.thread`

use std::sync::Arc;

use rhai::{Dynamic, FuncRegistration, Module};
use serde_json::{Map, Value};

use super::{
    super::{
        error::{Failure, fail},
        value::{to_dynamic, to_json},
    },
    Call,
};
use crate::chatkit::ThreadMetadata;

/// The thread of a call. What can be set is read anew each time: other handlers may set it too.
#[derive(Clone)]
pub struct ThreadHandle(pub Arc<Call>);

impl ThreadHandle {
    pub fn to_json(&self) -> Result<Value, String> {
        self.load().map_err(|err| err.to_string())
    }

    fn load(&self) -> Result<Value, Failure> {
        self.0.invoke_json("thread", Vec::new())
    }

    fn set(&self, name: &str, value: &Dynamic) -> Result<(), Failure> {
        let value = to_json(value).map_err(fail)?;
        // Rhai sets a property also where a function of its value was called: then nothing is new.
        if self.load()?.get(name) == Some(&value) {
            return Ok(());
        }
        let changes = Map::from_iter([(name.to_owned(), value)]);
        self.0.invoke_json("thread.set", vec![Value::Object(changes)]).map(drop)
    }
}

pub fn register(module: &mut Module) {
    snapshot(module, "id", |thread| thread.id.as_str().into());
    snapshot(module, "created_at", |thread| thread.created_at.to_string().into());
    for name in ["title", "metadata", "status", "allowed_image_domains"] {
        let get = move |thread: &mut ThreadHandle| -> Result<Dynamic, Failure> {
            Ok(thread.load()?.get(name).map_or(Dynamic::UNIT, to_dynamic))
        };
        FuncRegistration::new_getter(name).set_into_module(module, get);
        let set = move |thread: &mut ThreadHandle, value: Dynamic| thread.set(name, &value);
        // The handle itself does not change: `ctx.thread` may be a constant.
        FuncRegistration::new_setter(name).with_purity(true).set_into_module(module, set);
    }
}

/// What never changes.
fn snapshot(module: &mut Module, name: &str, read: fn(&ThreadMetadata) -> Dynamic) {
    let get = move |thread: &mut ThreadHandle| {
        thread.0.context.thread.as_deref().map_or(Dynamic::UNIT, read)
    };
    FuncRegistration::new_getter(name).set_into_module(module, get);
}
