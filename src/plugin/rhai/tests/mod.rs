//! Scripts as their authors meet them: a file goes in, results and error texts come out.

mod calls;
mod ctx;
mod isolation;
mod limits;
mod loading;
mod packs;

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
    context::{Page, RequestContext, RequestScope},
    load_error::LoadError,
    model::Models,
    plugin::{Approvals, CallError, HandlerId, Host, Plugin, PluginFiles, load},
    store::Store,
    tool::{CallContext, CallOrigin, ThreadPatch, TurnCall, TurnRequest},
    user::User,
};

/// A host with a store in memory, and the kitfox.toml of the test.
async fn host_with(config: &str) -> Arc<Host> {
    let config =
        Config::parse(Some(config), &Environment::default(), Path::new("/project")).unwrap();
    let models = Arc::new(Models::new(&config, Path::new("/project")).0);
    let store = Store::open("sqlite::memory:", &TaskTracker::new()).await;
    store.of(&user().key).add_thread(&thread(), &[]).await.unwrap();
    Arc::new(Host::new(Arc::new(config), models, store, Approvals::default()))
}

async fn host() -> Arc<Host> {
    host_with("").await
}

fn file(text: &str) -> PluginFiles {
    files("plugins/test.rhai", &[("test.rhai", text)])
}

fn files(path: &str, texts: &[(&str, &str)]) -> PluginFiles {
    let name = path.trim_start_matches("plugins/").trim_end_matches(".rhai").to_owned();
    let entry = |(path, text): &(&str, &str)| ((*path).to_owned(), Arc::from(text.as_bytes()));
    PluginFiles { path: path.to_owned(), name, files: texts.iter().map(entry).collect() }
}

fn show_errors(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The errors of loading this script.
async fn errors_of(script: &str) -> String {
    match load(&file(script), &host().await) {
        Ok(_) => "loads".to_owned(),
        Err(errors) => show_errors(&errors),
    }
}

async fn plugin_of(script: &str) -> Arc<dyn Plugin> {
    load_or_panic(&file(script), &host().await)
}

fn load_or_panic(files: &PluginFiles, host: &Arc<Host>) -> Arc<dyn Plugin> {
    load(files, host).unwrap_or_else(|errors| panic!("{}", show_errors(&errors)))
}

/// What the body of a tool gives.
async fn outcome(body: &str) -> String {
    run(&format!("tool(#{{ name: \"t\", description: \"d\", run: |args, ctx| {{ {body} }} }});"))
        .await
}

/// What the script's first handler gives, in a thread.
async fn run(script: &str) -> String {
    run_with(script, json!({})).await
}

async fn run_with(script: &str, argument: Value) -> String {
    let errors = match load(&file(script), &host().await) {
        Ok(plugin) => return call(&plugin, argument).await,
        Err(errors) => errors,
    };
    show_errors(&errors)
}

/// What the first handler gives, below what it had shown.
async fn call(plugin: &Arc<dyn Plugin>, argument: Value) -> String {
    let turn = Turn::start();
    let result = plugin.clone().call(HandlerId(0), argument, turn.context()).await;
    format!("{}{}", turn.shown(), show(&result))
}

fn show(result: &Result<Value, CallError>) -> String {
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
struct Turn {
    context: CallContext,
    shown: Arc<Mutex<String>>,
}

impl Turn {
    fn start() -> Self {
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
            }),
            thread: Some(Arc::new(thread.clone())),
            item: Some(Arc::new(message())),
            agent: Some("assistant".into()),
            origin: CallOrigin::Handler,
            widgets: Arc::default(),
            turn: sender,
            cancelled: CancellationToken::new(),
        };
        TaskTracker::new().spawn(serve(receiver, thread, shown.clone()));
        Self { context, shown }
    }

    fn context(&self) -> CallContext {
        self.context.clone()
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }
}

/// A context without a thread.
fn no_thread() -> CallContext {
    CallContext { thread: None, item: None, agent: None, ..Turn::start().context }
}

fn user() -> User {
    User::new("session", "", "ada")
}

fn thread() -> ThreadMetadata {
    ThreadMetadata {
        id: ThreadId::from("thr_1"),
        created_at: "2026-11-20T08:30:00Z".parse().unwrap(),
        ..ThreadMetadata::new()
    }
}

fn message() -> UserMessageItem {
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
