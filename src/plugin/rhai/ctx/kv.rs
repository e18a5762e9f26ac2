//! `ctx.kv`

use std::sync::Arc;

use rhai::{Dynamic, FnPtr, FuncRegistration, Module, NativeCallContext};

use super::{
    super::{
        error::{Failure, fail},
        value::{to_dynamic, to_json},
    },
    Call, catchable, function,
};
use crate::plugin::{Scope, ctx::HostCall};

/// `ctx.kv`
#[derive(Clone)]
pub struct KvRoot(pub Arc<Call>);

/// `ctx.kv.user` and its siblings. It holds nothing that changes, so that a closure inside a call on it
/// may use it too.
#[derive(Clone)]
pub struct Kv {
    call: Arc<Call>,
    scope: Scope,
}

pub fn register(module: &mut Module) {
    for (name, scope) in [("user", Scope::User), ("all", Scope::All)] {
        let get = move |kv: &mut KvRoot| Kv { call: Arc::clone(&kv.0), scope };
        FuncRegistration::new_getter(name).set_into_module(module, get);
    }
    FuncRegistration::new_getter("thread").set_into_module(
        module,
        |kv: &mut KvRoot| -> Result<Kv, Failure> {
            kv.0.require_thread("kv.thread").map_err(catchable)?;
            Ok(Kv { call: Arc::clone(&kv.0), scope: Scope::Thread })
        },
    );
    function("get").set_into_module(module, |kv: &mut Kv, key: &str| -> Result<Dynamic, Failure> {
        Ok(kv.get(key)?.as_ref().map_or(Dynamic::UNIT, to_dynamic))
    });
    function("set")
        .set_into_module(module, |kv: &mut Kv, key: &str, value: Dynamic| -> Result<(), Failure> {
            kv.set(key, &value)
        });
    function("delete").set_into_module(module, |kv: &mut Kv, key: &str| -> Result<(), Failure> {
        let HostCall { plugin, host, context, .. } = &kv.call.host_call;
        kv.call.wait(host.kv_delete(&plugin.manifest, context, kv.scope, key))
    });
    function("list").set_into_module(module, |kv: &mut Kv| kv.list(""));
    function("list").set_into_module(module, |kv: &mut Kv, prefix: &str| kv.list(prefix));
    function("update").set_into_module(
        module,
        |context: NativeCallContext<'_>, kv: &mut Kv, key: &str, change: FnPtr| {
            kv.update(&context, key, &change)
        },
    );
}

impl Kv {
    fn get(&self, key: &str) -> Result<Option<serde_json::Value>, Failure> {
        let HostCall { plugin, host, context, .. } = &self.call.host_call;
        self.call.wait(host.kv_get(&plugin.manifest, context, self.scope, key))
    }

    fn set(&self, key: &str, value: &Dynamic) -> Result<(), Failure> {
        let HostCall { plugin, host, context, .. } = &self.call.host_call;
        let value = to_json(value).map_err(fail)?;
        self.call.wait(host.kv_set(&plugin.manifest, context, self.scope, key, &value))
    }

    fn list(&self, prefix: &str) -> Result<Dynamic, Failure> {
        let HostCall { plugin, host, context, .. } = &self.call.host_call;
        let keys = self.call.wait(host.kv_list(&plugin.manifest, context, self.scope, prefix))?;
        Ok(keys.into())
    }

    /// Tries until nobody else has changed the value meanwhile.
    fn update(
        &self,
        script: &NativeCallContext<'_>,
        key: &str,
        change: &FnPtr,
    ) -> Result<Dynamic, Failure> {
        let HostCall { plugin, host, context, .. } = &self.call.host_call;
        loop {
            let old = self.get(key)?;
            let argument = old.as_ref().map_or(Dynamic::UNIT, to_dynamic);
            let new: Dynamic = change.call_within_context(script, (argument,))?;
            let value = to_json(&new).map_err(fail)?;
            let stored = host.kv_compare_and_set(
                &plugin.manifest,
                context,
                self.scope,
                key,
                old.as_ref(),
                &value,
            );
            if self.call.wait(stored)? {
                return Ok(new);
            }
        }
    }
}
