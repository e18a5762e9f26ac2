//! What scripts and components reach beyond themselves.

mod attachments;
mod credentials;
mod kv;
mod log;
mod model;
mod widget;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::ExposeSecret;
use serde_json::Value;

use crate::{
    config::Config,
    credential::Credentials,
    load_error::LoadError,
    model::{Models, Transcriber},
    oauth,
    plugin::{Approvals, CallError, Manifest, Need, Redirects, http::HttpClient},
    store::Store,
    tool::{CallContext, ToolError, TurnRequest},
};

/// What scripts and components reach beyond themselves: every host function, once, with its permission
/// check. A refusal names the permission and the file to put it in.
///
/// One host serves a generation: its configuration and models are that generation's.
pub struct Host {
    pub config: Arc<Config>,
    pub models: Arc<Models>,
    /// None: speech is not transcribed. Or why it cannot be.
    pub transcriber: Option<Result<Transcriber, String>>,
    pub store: Store,
    pub approvals: Approvals,
    pub credentials: Arc<Credentials>,
    http: HttpClient,
    errors: Vec<LoadError>,
}

/// Which of a plugin's values: see `KvScope`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Thread,
    User,
    All,
}

/// `ctx.http`
#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub method: String,
    pub url: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: HttpBody,
    /// Default 30 s, at most 120 s, the whole exchange.
    pub timeout: Option<Duration>,
    /// Sent along in the header that kitfox.toml says.
    pub credential: Option<String>,
}

#[derive(Debug, Clone)]
pub enum HttpBody {
    None,
    Json(Value),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone)]
pub struct HttpResponse {
    pub status: u16,
    /// By lower-case name; several of one name are joined by `, `.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Host {
    pub fn new(
        config: Arc<Config>,
        models: Arc<Models>,
        store: Store,
        approvals: Approvals,
        logins: &Arc<oauth::Shared>,
    ) -> Self {
        let (http, errors) = HttpClient::new(&config.plugins.allow_addresses);
        let transcriber = Transcriber::of_config(&config);
        let credentials = Arc::new(Credentials::new(&config, logins));
        Self { config, models, transcriber, store, approvals, credentials, http, errors }
    }

    /// What is wrong in kitfox.toml for plugins as a whole (`[plugins] allow_addresses`), told with the
    /// generation's errors; what is wrong is not in force.
    pub fn errors(&self) -> &[LoadError] {
        &self.errors
    }

    /// Fetches under the permission `http` and the address checks of plugin-api.md §6; an answer of more than
    /// 8 MiB is an error.
    pub async fn http(
        &self,
        plugin: &Manifest,
        context: &CallContext,
        request: HttpRequest,
        redirects: Redirects,
    ) -> Result<HttpResponse, CallError> {
        credentials::check(context, &request).map_err(CallError::Thrown)?;
        let header = match &request.credential {
            Some(name) => {
                let header = self.credential_header(plugin, context, name, &request.url);
                Some(or_cancelled(context, header).await??)
            }
            None => None,
        };
        let fetch = self.http.fetch(plugin, request, redirects, header);
        let answer = or_cancelled(context, fetch).await?.map_err(CallError::Thrown)?;
        Ok(credentials::scrub(context, answer))
    }

    /// `ctx.call_tool`: the permission `tools` is checked here, the other gates by the turn.
    pub async fn call_tool(
        &self,
        plugin: &Manifest,
        context: &CallContext,
        name: &str,
        arguments: Value,
    ) -> Result<Value, CallError> {
        plugin.check(&Need::Tool(name)).map_err(CallError::Thrown)?;
        let call = TurnRequest::CallTool { name: name.to_owned(), arguments };
        or_cancelled(context, context.ask(call)).await?.map_err(|err| match err {
            ToolError::Failed(message) => CallError::Thrown(message),
            ToolError::Turn { message, retry } => CallError::User { message, retry },
            ToolError::Ended => CallError::Ended,
            ToolError::Cancelled => CallError::Cancelled,
        })
    }

    /// `ctx.env`
    pub fn env(&self, plugin: &Manifest, name: &str) -> Result<String, CallError> {
        plugin.check(&Need::Env(name)).map_err(CallError::Thrown)?;
        let value = self.config.plugins.by_name.get(&plugin.name).and_then(|it| it.env.get(name));
        let Some(value) = value else {
            return Err(CallError::Thrown(format!(
                "the environment variable `{name}` is not set where Kitfox runs: set it and restart"
            )));
        };
        Ok(value.expose_secret().to_owned())
    }

    /// `ctx.log`: to our log, with the plugin's name. `level` is error, warn, info or debug.
    pub fn log(&self, plugin: &Manifest, level: &str, message: &str) -> Result<(), CallError> {
        log::write(&plugin.name, level, message).map_err(CallError::Thrown)
    }
}

/// Waits no longer than the turn does.
async fn or_cancelled<T>(
    context: &CallContext,
    work: impl Future<Output = T>,
) -> Result<T, CallError> {
    tokio::select! {
        biased;
        () = context.cancelled.cancelled() => Err(CallError::Cancelled),
        result = work => Ok(result),
    }
}

#[cfg(test)]
mod tests;
