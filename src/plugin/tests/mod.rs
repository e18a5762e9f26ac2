//! What tests of plugins share, in whichever language these are written.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    chatkit::{ThreadId, ThreadMetadata, UserMessageItem},
    config::{Config, Environment},
    context::{Page, RequestContext, RequestScope, RequestSecrets},
    load_error::LoadError,
    model::Models,
    plugin::{Approvals, CallError, Host},
    store::Store,
    tool::{CallContext, CallOrigin, Spent, ThreadPatch, TurnCall, TurnRequest},
    user::User,
};

/// A host with a store in memory, and the kitfox.toml of the test.
pub async fn host_with(config: &str) -> Arc<Host> {
    let config =
        Config::parse(Some(config), &Environment::default(), Path::new("/project")).unwrap();
    let models = Arc::new(Models::new(&config, Path::new("/project")).0);
    let store = Store::open("sqlite::memory:", &TaskTracker::new()).await;
    store.of(&user().key).add_thread(&thread(), &[]).await.unwrap();
    let logins = crate::oauth::Shared::of_tests(&store);
    Arc::new(Host::new(Arc::new(config), models, store, Approvals::default(), &logins))
}

pub async fn host() -> Arc<Host> {
    host_with("").await
}

pub fn show_errors(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

pub fn show(result: &Result<Value, CallError>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(CallError::Thrown(message)) => format!("thrown: {message}"),
        Err(CallError::User { message, retry }) => format!("user: {message} retry={retry}"),
        Err(CallError::Limit(message)) => format!("limit: {message}"),
        Err(CallError::Ended) => "ended".to_owned(),
        Err(CallError::Cancelled) => "cancelled".to_owned(),
    }
}

/// A turn that does nothing but note what is asked of it, and keep a thread.
pub struct Turn {
    pub context: CallContext,
    shown: Arc<Mutex<String>>,
}

impl Turn {
    pub fn start() -> Self {
        let (sender, receiver) = mpsc::channel(8);
        let shown = Arc::new(Mutex::new(String::new()));
        let thread = thread();
        let context = CallContext {
            request: Arc::new(RequestContext {
                user: Some(user()),
                page: Page(Map::from_iter([("title".to_owned(), "Home".into())])),
                selected_text: None,
                metadata: Map::from_iter([("plan".to_owned(), "free".into())]),
                request: RequestScope {
                    locale: Some("de-CH".to_owned()),
                    headers: BTreeMap::from([("article-id".to_owned(), Some("7".to_owned()))]),
                    session_id: None,
                },
                address: None,
                secrets: RequestSecrets::default(),
            }),
            thread: Some(Arc::new(thread.clone())),
            item: Some(Arc::new(message())),
            agent: Some("assistant".into()),
            origin: CallOrigin::Handler,
            widgets: Arc::default(),
            turn: sender,
            seals: Arc::default(),
            spent: Spent::default(),
            cancelled: CancellationToken::new(),
        };
        TaskTracker::new().spawn(serve(receiver, thread, shown.clone()));
        Self { context, shown }
    }

    pub fn context(&self) -> CallContext {
        self.context.clone()
    }

    pub fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }
}

/// A context without a thread.
pub fn no_thread() -> CallContext {
    CallContext { thread: None, item: None, agent: None, ..Turn::start().context }
}

pub fn user() -> User {
    User::new("session", "", "ada")
}

pub fn thread() -> ThreadMetadata {
    ThreadMetadata {
        id: ThreadId::from("thr_1"),
        created_at: "2026-11-20T08:30:00Z".parse().unwrap(),
        ..ThreadMetadata::new()
    }
}

pub fn message() -> UserMessageItem {
    serde_json::from_value(json!({
        "id": "msg_1",
        "thread_id": "thr_1",
        "created_at": "2026-11-20T08:30:00Z",
        "content": [{ "type": "input_text", "text": "hello" }],
        "inference_options": { "tool_choice": { "id": "support" } },
    }))
    .unwrap()
}

async fn serve(
    mut calls: mpsc::Receiver<TurnCall>,
    mut thread: ThreadMetadata,
    shown: Arc<Mutex<String>>,
) {
    while let Some(TurnCall { request, reply, .. }) = calls.recv().await {
        let answer = match &*request {
            TurnRequest::LoadThread => serde_json::to_value(&thread).unwrap(),
            TurnRequest::UpdateThread(patch) => {
                apply(patch.clone(), &mut thread);
                serde_json::to_value(&thread).unwrap()
            }
            TurnRequest::Say { markdown } => json!({ "id": "msg_2", "text": markdown }),
            _ => Value::Null,
        };
        if !matches!(*request, TurnRequest::LoadThread) {
            writeln!(shown.lock().unwrap(), "{request:?}").unwrap();
        }
        let _ = reply.send(Ok(answer));
    }
}

fn apply(patch: ThreadPatch, thread: &mut ThreadMetadata) {
    let ThreadPatch { title, metadata, allowed_image_domains, status } = patch;
    if let Some(title) = title {
        thread.title = title;
    }
    if let Some(metadata) = metadata {
        thread.metadata = metadata;
    }
    if let Some(domains) = allowed_image_domains {
        thread.allowed_image_domains = domains;
    }
    if let Some(status) = status {
        thread.status = status;
    }
}
