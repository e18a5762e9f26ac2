use serde_json::Value;
use tracing::error;

use crate::{
    plugin::{CallError, Host, Manifest, Scope},
    store::{KvScope, StoreError},
    tool::CallContext,
};

const LONGEST_KEY: usize = 512;

impl Host {
    pub async fn kv_get(
        &self,
        plugin: &Manifest,
        context: &CallContext,
        scope: Scope,
        key: &str,
    ) -> Result<Option<Value>, CallError> {
        let scope = kv_scope(context, scope)?;
        check_key(key)?;
        self.store.kv().get(&plugin.name, &scope, key).await.map_err(store_error)
    }

    pub async fn kv_set(
        &self,
        plugin: &Manifest,
        context: &CallContext,
        scope: Scope,
        key: &str,
        value: &Value,
    ) -> Result<(), CallError> {
        let scope = kv_scope(context, scope)?;
        check_key(key)?;
        self.check_value(key, value)?;
        self.store.kv().set(&plugin.name, &scope, key, value).await.map_err(store_error)
    }

    /// Stores `new` only if the value still is `old`; says whether it did.
    pub async fn kv_compare_and_set(
        &self,
        plugin: &Manifest,
        context: &CallContext,
        scope: Scope,
        key: &str,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<bool, CallError> {
        let scope = kv_scope(context, scope)?;
        check_key(key)?;
        self.check_value(key, new)?;
        let kv = self.store.kv();
        kv.compare_and_set(&plugin.name, &scope, key, old, new).await.map_err(store_error)
    }

    pub async fn kv_delete(
        &self,
        plugin: &Manifest,
        context: &CallContext,
        scope: Scope,
        key: &str,
    ) -> Result<(), CallError> {
        let scope = kv_scope(context, scope)?;
        check_key(key)?;
        self.store.kv().delete(&plugin.name, &scope, key).await.map_err(store_error)
    }

    pub async fn kv_list(
        &self,
        plugin: &Manifest,
        context: &CallContext,
        scope: Scope,
        prefix: &str,
    ) -> Result<Vec<String>, CallError> {
        let scope = kv_scope(context, scope)?;
        self.store.kv().list(&plugin.name, &scope, prefix).await.map_err(store_error)
    }

    fn check_value(&self, key: &str, value: &Value) -> Result<(), CallError> {
        let (bytes, most) = (value.to_string().len(), self.config.limits.plugin.kv_bytes);
        if bytes <= most {
            return Ok(());
        }
        Err(CallError::Thrown(format!(
            "the value of `{key}` has {bytes} bytes as JSON, and `kv` keeps at most {most} \
             (`limits.plugin.kv_bytes`): split it over several keys"
        )))
    }
}

fn kv_scope(context: &CallContext, scope: Scope) -> Result<KvScope, CallError> {
    let user = context.request.user.as_ref();
    match scope {
        Scope::Thread => match &context.thread {
            Some(thread) if user.is_some() => Ok(KvScope::Thread(thread.id.clone())),
            Some(_) | None => Err(CallError::Thrown(
                "`kv.thread` needs a thread, and there is none here: use `kv.user` or `kv.all`"
                    .to_owned(),
            )),
        },
        Scope::User => match user {
            Some(user) => Ok(KvScope::User(user.key.clone())),
            None => Err(CallError::Thrown(
                "`kv.user` needs a user, and a public route has none: use `kv.all`".to_owned(),
            )),
        },
        Scope::All => Ok(KvScope::All { org: user.and_then(|it| it.org.clone()) }),
    }
}

fn check_key(key: &str) -> Result<(), CallError> {
    if key.is_empty() {
        return Err(CallError::Thrown("a key of `kv` cannot be empty".to_owned()));
    }
    if key.len() > LONGEST_KEY {
        return Err(CallError::Thrown(format!(
            "a key of `kv` has at most {LONGEST_KEY} bytes, and this one has {}",
            key.len()
        )));
    }
    // Not every database keeps it.
    if key.contains('\0') {
        return Err(CallError::Thrown("a key of `kv` cannot hold the character NUL".to_owned()));
    }
    Ok(())
}

/// Scripts learn that it failed; why is logged here, because it goes no further.
fn store_error(err: StoreError) -> CallError {
    CallError::Thrown(match err {
        StoreError::NotFound => "`kv.thread`: the thread was deleted".to_owned(),
        StoreError::Unavailable(_) => "the store is not available: try again later".to_owned(),
        StoreError::BadCursor | StoreError::Failed(_) => {
            let err = anyhow::Error::from(err);
            error!(error = %format!("{err:#}"), "what a plugin keeps could not be read or written: {err:#}");
            "the store failed".to_owned()
        }
    })
}
