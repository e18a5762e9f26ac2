use std::path::Path;

use insta::assert_snapshot;
use serde_json::{Map, json};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;
use crate::{
    chatkit::{ThreadId, ThreadMetadata},
    config::{Environment, RawPermissions},
    context::{Page, RequestContext, RequestScope, RequestSecrets},
    model::{Scripted, ScriptedResponse},
    oauth,
    plugin::{Permissions, Redirects},
    tool::{CallOrigin, Spent, TurnCall},
    user::{Allow, User},
};

/// A host with a store in memory, this kitfox.toml, and a model that says `answers`.
async fn host(config: &str, answers: &[&str]) -> Host {
    let variables = [("CATS_KEY", "k1"), ("OTHER", "o1")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = Environment(variables.into());
    let config = Config::parse(Some(config), &environment, Path::new("/project")).unwrap();
    let answers = answers.iter().map(|it| ScriptedResponse::Complete((*it).to_owned()));
    let model = Arc::new(Scripted::new(answers.collect()));
    let models = Models::with_provider("default", model);
    let store = Store::open("sqlite::memory:", &TaskTracker::new()).await;
    store.check().await.unwrap();
    let logins = oauth::Shared::of_tests(&store);
    Host::new(Arc::new(config), Arc::new(models), store, Approvals::default(), &logins)
}

/// A plugin that asks for these permissions, which the operator narrows by those.
fn plugin(name: &str, requested: &str, operator: &str) -> Manifest {
    let requested: RawPermissions = toml::from_str(requested).unwrap();
    let requested = Permissions::parse(&requested).unwrap();
    let permissions = requested.narrow(Some(&toml::from_str(operator).unwrap())).unwrap();
    Manifest {
        name: name.to_owned(),
        path: format!("plugins/{name}.rhai"),
        version: None,
        description: None,
        permissions,
        requested,
        allow: Allow::default(),
        approved: true,
    }
}

fn user(id: &str, org: Option<&str>) -> User {
    User { org: org.map(str::to_owned), ..User::new("test", "", id) }
}

/// A call without a turn.
fn context(user: Option<User>, thread: Option<&ThreadMetadata>) -> CallContext {
    CallContext {
        request: Arc::new(RequestContext {
            user,
            page: Page::default(),
            selected_text: None,
            metadata: Map::new(),
            request: RequestScope::default(),
            address: None,
            secrets: RequestSecrets::default(),
        }),
        thread: thread.cloned().map(Arc::new),
        item: None,
        agent: None,
        origin: CallOrigin::Handler,
        widgets: Arc::default(),
        turn: mpsc::channel(1).0,
        seals: Arc::default(),
        spent: Spent::default(),
        cancelled: CancellationToken::new(),
    }
}

#[tokio::test]
async fn what_plugins_keep_is_apart_by_plugin_and_scope() {
    let host = host("", &[]).await;
    let (cats, dogs) = (plugin("cats", "", ""), plugin("dogs", "", ""));
    let thread = ThreadMetadata { id: ThreadId::from("thr_1"), ..ThreadMetadata::new() };
    let (ada, bob, eve) = (user("ada", Some("x")), user("bob", Some("x")), user("eve", None));
    host.store.of(&ada.key).add_thread(&thread, &[]).await.unwrap();
    let ada = context(Some(ada), Some(&thread));
    let (bob, eve, public) =
        (context(Some(bob), None), context(Some(eve), None), context(None, None));
    for (scope, value) in [(Scope::Thread, 1), (Scope::User, 2), (Scope::All, 3)] {
        host.kv_set(&cats, &ada, scope, "a", &json!(value)).await.unwrap();
    }
    let get =
        async |plugin, context, scope| host.kv_get(plugin, context, scope, "a").await.unwrap();
    assert_eq!(get(&cats, &ada, Scope::Thread).await, Some(json!(1)));
    assert_eq!(get(&cats, &ada, Scope::User).await, Some(json!(2)));
    assert_eq!(get(&cats, &ada, Scope::All).await, Some(json!(3)));
    assert_eq!(get(&cats, &bob, Scope::All).await, Some(json!(3)));
    assert_eq!(get(&cats, &bob, Scope::User).await, None);
    assert_eq!(get(&cats, &eve, Scope::All).await, None);
    assert_eq!(get(&cats, &public, Scope::All).await, None);
    assert_eq!(get(&dogs, &ada, Scope::User).await, None);

    let swap = async |old: i32, new: i32| {
        let (old, new) = (json!(old), json!(new));
        host.kv_compare_and_set(&cats, &ada, Scope::User, "a", Some(&old), &new).await.unwrap()
    };
    assert!(!swap(3, 4).await && swap(2, 4).await);
    assert_eq!(host.kv_list(&cats, &ada, Scope::User, "").await.unwrap(), ["a"]);
    host.kv_delete(&cats, &ada, Scope::User, "a").await.unwrap();
    assert_eq!(get(&cats, &ada, Scope::User).await, None);
}

#[tokio::test]
async fn kv_says_what_is_missing_or_too_large() {
    let host = host("[limits.plugin]\nkv_bytes = 10", &[]).await;
    let cats = plugin("cats", "", "");
    let (ada, public) = (context(Some(user("ada", None)), None), context(None, None));
    let set = async |context, scope, key: &str, value| {
        host.kv_set(&cats, context, scope, key, &value).await.unwrap_err().to_string()
    };
    assert_snapshot!(set(&ada, Scope::Thread, "a", json!(1)).await, @"`kv.thread` needs a thread, and there is none here: use `kv.user` or `kv.all`");
    assert_snapshot!(set(&public, Scope::User, "a", json!(1)).await, @"`kv.user` needs a user, and a public route has none: use `kv.all`");
    assert_snapshot!(set(&ada, Scope::User, "a", json!("123456789")).await, @"the value of `a` has 11 bytes as JSON, and `kv` keeps at most 10 (`limits.plugin.kv_bytes`): split it over several keys");
    assert_snapshot!(set(&ada, Scope::User, "", json!(1)).await, @"a key of `kv` cannot be empty");
    assert_snapshot!(set(&ada, Scope::User, &"k".repeat(513), json!(1)).await, @"a key of `kv` has at most 512 bytes, and this one has 513");
    assert_snapshot!(set(&ada, Scope::User, "a\0", json!(1)).await, @"a key of `kv` cannot hold the character NUL");
    host.kv_set(&cats, &ada, Scope::User, &"k".repeat(512), &json!("12345678")).await.unwrap();
}

#[tokio::test]
async fn a_variable_is_read_where_the_file_asks_and_the_operator_grants() {
    let host = host("[plugins.cats.permissions]\nenv = ['CATS_KEY', 'MISSING']", &[]).await;
    let cats =
        plugin("cats", "env = ['CATS_KEY', 'MISSING', 'OTHER']", "env = ['CATS_KEY', 'MISSING']");
    assert_eq!(host.env(&cats, "CATS_KEY").unwrap(), "k1");
    assert_snapshot!(host.env(&cats, "MISSING").unwrap_err(), @"the environment variable `MISSING` is not set where Kitfox runs: set it and restart");
    assert_snapshot!(host.env(&cats, "OTHER").unwrap_err(), @"plugin `cats` may not read the environment variable `OTHER`: add `OTHER` to `permissions.env` of `[plugins.cats]` in kitfox.toml");
}

#[tokio::test]
async fn a_model_answers_with_text_or_with_json() {
    let answers = ["It rains.", "```json\n{\"rain\": true}\n```", "It rains."];
    let host = host("", &answers).await;
    let cats = plugin("cats", "model = true", "");
    let context = context(Some(user("ada", None)), None);
    let ask =
        async |request| host.model(&cats, &context, request).await.map_err(|err| err.to_string());
    assert_eq!(ask(json!("weather?")).await, Ok(json!("It rains.")));
    let with_schema = json!({ "prompt": "weather?", "schema": { "type": "object" } });
    assert_eq!(ask(with_schema.clone()).await, Ok(json!({ "rain": true })));
    assert_snapshot!(ask(with_schema).await.unwrap_err(), @"the model's answer is not the JSON it was asked for: expected value at line 1 column 1");
    assert_snapshot!(ask(json!({ "prompt": "weather?", "model": "large" })).await.unwrap_err(), @"there is no model `large`: name one of those in [models] of kitfox.toml (`default`)");
    let dogs = plugin("dogs", "", "");
    assert_snapshot!(host.model(&dogs, &context, json!("hi")).await.unwrap_err(), @"plugin `dogs` may not ask a model: set `permissions.model` to `true` in plugins/dogs.rhai");
}

#[tokio::test]
async fn a_tool_is_called_through_the_turn_where_it_is_permitted() {
    let host = host("", &[]).await;
    let cats = plugin("cats", "tools = ['notes__*']", "");
    let (turn, mut calls) = mpsc::channel::<TurnCall>(1);
    let context = CallContext { turn, ..context(Some(user("ada", None)), None) };
    let serve = async {
        for _ in 0..2 {
            let TurnCall { request, reply, .. } = calls.recv().await.unwrap();
            let TurnRequest::CallTool { name, arguments } = *request else { panic!("no call") };
            let answer = match name.as_str() {
                "notes__add" => Ok(json!({ "added": arguments })),
                _ => Err(ToolError::Failed(format!("there is no tool `{name}`"))),
            };
            reply.send(answer).unwrap();
        }
    };
    let call = async |name: &str| {
        let result = host.call_tool(&cats, &context, name, json!({ "a": 1 })).await;
        result.map_err(|err| err.to_string())
    };
    let asked = async { (call("notes__add").await, call("notes__x").await) };
    let ((added, unknown), ()) = tokio::join!(asked, serve);
    assert_eq!(added, Ok(json!({ "added": { "a": 1 } })));
    assert_eq!(unknown, Err("there is no tool `notes__x`".to_owned()));
    assert_snapshot!(call("delete_all").await.unwrap_err(), @"plugin `cats` may not call the tool `delete_all`: add `delete_all` to `permissions.tools` in plugins/cats.rhai");
}

#[tokio::test]
async fn waiting_ends_with_the_turn() {
    let host = host("[plugins]\nallow_addresses = ['127.0.0.1']", &[]).await;
    let cats =
        plugin("cats", "tools = ['*']\nhttp = ['http://*:PORT']".replace("PORT", "1").as_str(), "");
    // It is never served: the channel is kept open.
    let (turn, _calls) = mpsc::channel(1);
    let context = CallContext { turn, ..context(Some(user("ada", None)), None) };
    let call = host.call_tool(&cats, &context, "slow", json!({}));
    let cancel = async { context.cancelled.cancel() };
    let (result, ()) = tokio::join!(call, cancel);
    assert!(matches!(result, Err(CallError::Cancelled)));
    let request = HttpRequest {
        method: "get".to_owned(),
        url: "http://127.0.0.1:1".to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: HttpBody::None,
        timeout: None,
        credential: None,
    };
    assert!(matches!(
        host.http(&cats, &context, request, Redirects::Follow).await,
        Err(CallError::Cancelled)
    ));
}

#[tokio::test]
async fn a_wrong_address_of_the_operator_is_told() {
    let host = host("[plugins]\nallow_addresses = ['localhost']", &[]).await;
    assert_eq!(host.errors().len(), 1);
}
