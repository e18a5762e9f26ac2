//! `ctx.kv`

use serde_json::Value;

use super::{Arguments, HostCall, needs_thread};
use crate::plugin::{CallError, Scope};

/// `kv.user.get` as its scope and what is done.
pub fn split(member: &str) -> Option<(Scope, &str)> {
    let (scope, function) = member.strip_prefix("kv.")?.split_once('.')?;
    let scope = match scope {
        "thread" => Scope::Thread,
        "user" => Scope::User,
        "all" => Scope::All,
        _ => return None,
    };
    Some((scope, function))
}

impl HostCall {
    pub async fn kv(
        &self,
        member: &str,
        arguments: &mut Arguments<'_>,
    ) -> Result<Value, CallError> {
        let Some((scope, function)) = split(member) else {
            return Err(CallError::Thrown(format!("`ctx` has no `{member}`")));
        };
        if scope == Scope::Thread && self.context.thread.is_none() {
            return Err(CallError::Thrown(needs_thread("kv.thread")));
        }
        let (host, plugin, context) = (&self.host, &self.plugin.manifest, &self.context);
        if function == "list" {
            let prefix = arguments.optional_text("the prefix")?.unwrap_or_default();
            let keys = host.kv_list(plugin, context, scope, &prefix).await?;
            return Ok(keys.into());
        }
        let key = arguments.text("a key")?;
        match function {
            "get" => {
                let value = host.kv_get(plugin, context, scope, &key).await?;
                Ok(value.unwrap_or_default())
            }
            "set" => {
                host.kv_set(plugin, context, scope, &key, &arguments.any()).await?;
                Ok(Value::Null)
            }
            "delete" => {
                host.kv_delete(plugin, context, scope, &key).await?;
                Ok(Value::Null)
            }
            // What `update` is made of: null is absent, as everywhere.
            _ => {
                let old = Some(arguments.any()).filter(|it| !it.is_null());
                let new = arguments.any();
                let stored =
                    host.kv_compare_and_set(plugin, context, scope, &key, old.as_ref(), &new);
                Ok(Value::Bool(stored.await?))
            }
        }
    }
}
