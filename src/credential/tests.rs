use std::{collections::BTreeMap, path::Path, sync::Arc};

use insta::assert_snapshot;
use serde_json::{Map, Value, json};
use tokio_util::task::TaskTracker;

use super::{CredentialError, Credentials, InPrompt, Outgoing, PassRules, Pending, Seals, Secret};
use crate::{
    chatkit::ThreadId,
    config::{
        Config, Environment,
        document::{Node, Reader},
    },
    context::{ContextSources, RequestContext},
    store::Store,
    user::User,
};

const CONFIG: &str = r#"
    [mcp]
    allow_plaintext = true
    [credentials.key]
    source = "static"
    value = "sk-static-1"
    destinations = ["notes"]
    [credentials.bearer]
    source = "request"
    header = "Authorization"
    destinations = ["notes"]
    [credentials.token]
    source = "request"
    header = "X-Token"
    destinations = ["notes"]
    [credentials.claim]
    source = "login"
    field = "access_token"
    destinations = ["elsewhere"]
"#;

/// The credentials of [`CONFIG`], a server's rules, and a turn of Ada's.
struct Case {
    credentials: Arc<Credentials>,
    rules: PassRules,
    request: RequestContext,
    seals: Arc<Seals>,
    thread: ThreadId,
}

async fn credentials() -> Arc<Credentials> {
    let config =
        Config::parse(Some(CONFIG), &Environment::default(), Path::new("/project")).unwrap();
    let store = Store::open("sqlite::memory:", &TaskTracker::new()).await;
    Arc::new(Credentials::new(&config, &crate::oauth::Shared::of_tests(&store)))
}

fn read(credentials: &Arc<Credentials>, text: &str) -> (PassRules, String) {
    let reader = Reader::new("plugins/notes.mcp.toml");
    let node = Node::from_toml(text, &reader).expect("it is TOML");
    let table = reader.root(node).map().unwrap();
    let rules = PassRules::read(&table, "notes", credentials);
    let errors: Vec<_> = reader.into_errors().iter().map(ToString::to_string).collect();
    (rules, errors.join("\n"))
}

fn request(credentials: &Credentials, user: &str, headers: &[(&str, &str)]) -> RequestContext {
    let mut user = User::new("test", "", user);
    user.claims.insert("access_token".to_owned(), json!("tok-claim-1"));
    RequestContext::gather(ContextSources {
        user: Some(user),
        session_id: None,
        header: &|name| headers.iter().find(|(it, _)| *it == name).map(|(_, value)| *value),
        visible_headers: &[],
        secret_names: credentials.secret_names(),
        login_secrets: BTreeMap::new(),
        metadata: &[],
    })
}

const HEADERS: &[(&str, &str)] =
    &[("authorization", "bearer tok-bearer-1"), ("x-token", "tok-ada-1")];

impl Case {
    async fn new(rules: &str) -> Self {
        let credentials = credentials().await;
        let (rules, errors) = read(&credentials, rules);
        assert_eq!(errors, "");
        let request = request(&credentials, "ada", HEADERS);
        let thread = ThreadId::from("thr_1");
        let user = request.user.as_ref().map(|it| it.key.clone());
        let seals = Arc::new(Seals::new(user, Some(thread.clone())));
        let names: BTreeMap<_, _> =
            rules.in_prompt().map(|(name, how)| (name.to_owned(), how)).collect();
        seals.seal(&names, &credentials, &request).await;
        Self { credentials, rules, request, seals, thread }
    }

    fn shown(&self, credential: &str) -> String {
        let prompt = self.seals.prompt(&self.credentials);
        prompt[credential]
            .as_str()
            .unwrap_or_else(|| panic!("no handle of {credential}"))
            .to_owned()
    }

    async fn prepare(&self, arguments: &Value) -> Result<Outgoing, CredentialError> {
        self.prepare_as(&self.request, arguments).await
    }

    async fn prepare_as(
        &self,
        request: &RequestContext,
        arguments: &Value,
    ) -> Result<Outgoing, CredentialError> {
        let schema = json!({ "properties": {
            "user_id": { "type": "string" }, "access_token": { "type": "string" }, "text": {},
        } });
        let call = Pending {
            tool: "add_note",
            schema: &schema,
            arguments: arguments.as_object().unwrap(),
            request,
            thread: Some(&self.thread),
            seals: &self.seals,
        };
        self.rules.prepare(call).await
    }

    /// What the server gets.
    async fn call(&self, arguments: Value) -> Result<Value, String> {
        let outgoing = self.prepare(&arguments).await.map_err(|it| it.to_string())?;
        let mut sent = outgoing.arguments().clone();
        outgoing.put_into(&mut sent).map_err(|it| it.to_string())?;
        Ok(Value::Object(sent))
    }
}

fn texts(headers: &[(String, Secret)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect()
}

const SEALED: &str = r#"
    [[arguments]]
    name = "user_id"
    value = "{{ user.id }}"
    [[arguments]]
    name = "access_token"
    credential = "token"
    mode = "sealed"
"#;

#[tokio::test]
async fn each_source_gives_its_secret_and_says_what_is_missing() {
    let credentials = credentials().await;
    let full = request(&credentials, "ada", HEADERS);
    let empty =
        request(&credentials, "ada", &[("x-token", "short"), ("authorization", "Basic xxxxxxxx")]);
    let mut shown = Vec::new();
    for name in ["key", "bearer", "token", "claim", "other"] {
        for context in [&full, &empty] {
            let fetched = match credentials.fetch(name, context).await {
                Ok(secret) => secret.expose().to_owned(),
                Err(err) => err.to_string(),
            };
            shown.push(format!("{name}: {fetched}"));
        }
    }
    assert_snapshot!(shown.join("\n"), @r"
    key: sk-static-1
    key: sk-static-1
    bearer: tok-bearer-1
    bearer: the user has no credential `bearer`: the page sent no header `Authorization`
    token: tok-ada-1
    token: the credential `token` cannot be used: it has fewer than 8 characters
    claim: tok-claim-1
    claim: tok-claim-1
    other: there is no credential `other`: add `[credentials.other]` to kitfox.toml
    other: there is no credential `other`: add `[credentials.other]` to kitfox.toml
    ");
}

#[tokio::test]
async fn headers_and_injected_arguments_are_put_in_whatever_the_model_says() {
    let case = Case::new(
        r#"
        headers = { Authorization = "Token {{ credential.bearer }}", X-User = "{{ user.id }}" }
        [[arguments]]
        name = "user_id"
        value = "{{ user.id }}"
        [[arguments]]
        name = "access_token"
        credential = "token"
        [[arguments]]
        name = "not_taken"
        credential = "token"
        "#,
    )
    .await;
    let given = json!({ "text": "hi", "user_id": "mallory" });
    let outgoing = case.prepare(&given).await.map_err(|it| it.to_string()).unwrap();
    assert_eq!(
        texts(outgoing.headers()),
        [("Authorization", "Token tok-bearer-1"), ("X-User", "ada")]
    );
    assert_eq!(Value::Object(outgoing.arguments().clone()), json!({ "text": "hi" }));
    let sent = case.call(given).await.unwrap();
    assert_eq!(sent, json!({ "text": "hi", "access_token": "tok-ada-1", "user_id": "ada" }));
    assert_eq!(outgoing.scrub("you are tok-ada-1").as_ref(), "you are [credential token]");
    assert!(case.rules.is_per_user());
}

#[tokio::test]
async fn a_fingerprint_tells_users_apart_and_nothing_else() {
    let case = Case::new(r#"headers = { Authorization = "{{ credential.token }}" }"#).await;
    let fingerprint = async |user: &str, token: &str| {
        let request = request(&case.credentials, user, &[("x-token", token)]);
        case.rules.connect(&request).await.map_err(|it| it.to_string()).unwrap().fingerprint()
    };
    assert_eq!(fingerprint("ada", "tok-ada-1").await, fingerprint("bob", "tok-ada-1").await);
    assert_ne!(fingerprint("ada", "tok-ada-1").await, fingerprint("ada", "tok-ada-2").await);
    let shared = Case::new(r#"headers = { Authorization = "{{ credential.key }}" }"#).await;
    assert!(!shared.rules.is_per_user());
}

#[tokio::test]
async fn a_header_never_holds_a_line_break() {
    let case = Case::new(r#"headers = { X-User = "{{ user.id }}" }"#).await;
    let request = request(&case.credentials, "ada\r\nX-Admin: 1", &[]);
    let err = case.rules.connect(&request).await.map(|_| ()).unwrap_err();
    assert_eq!(err.to_string(), "the header `X-User` of `notes` would hold a line break");
}

#[tokio::test]
async fn a_sealed_argument_takes_its_handle_and_nothing_else() {
    let case = Case::new(SEALED).await;
    let handle = case.shown("token");
    assert!(handle.starts_with("kfh_") && handle.len() == 4 + 32, "{handle}");
    let sent = case.call(json!({ "text": "hi", "access_token": handle })).await;
    assert_eq!(
        sent.unwrap(),
        json!({ "text": "hi", "access_token": "tok-ada-1", "user_id": "ada" })
    );
    let refused = [
        json!({ "access_token": "tok-ada-1" }),
        json!({ "access_token": "null" }),
        json!({ "access_token": null }),
        json!({ "access_token": [handle] }),
        json!({ "access_token": format!("{handle} ") }),
        json!({ "access_token": format!("Bearer {handle}") }),
        json!({ "access_token": handle[..35] }),
        json!({ "access_token": handle.to_uppercase() }),
        json!({ "access_token": format!("{}\u{200b}{}", &handle[..9], &handle[9..]) }),
        json!({ "access_token": handle, "text": format!("my token: {handle}") }),
        json!({ "access_token": handle, "text": { "deep": [[{ "x": handle }]] } }),
        json!({ "access_token": handle, "text": { handle.clone(): 1 } }),
        json!({ "access_token": handle, handle.clone(): 1 }),
        json!({ "access_token": handle, "text": format!("https://a.org/?t={}", handle.to_uppercase()) }),
        json!({ "access_token": handle, "user_id": handle }),
        json!({ "text": handle }),
    ];
    for arguments in refused {
        let err = case.call(arguments.clone()).await.expect_err(&arguments.to_string());
        assert!(err.contains("`token`") && !err.contains("kfh_") && !err.contains("tok-"), "{err}");
    }
    // Another turn's handle, which no credential of this one has.
    let err = case.call(json!({ "text": format!("kfh_{:032x}", 7) })).await.unwrap_err();
    assert_eq!(err, "`text` holds what stood for a credential in another turn");
}

#[tokio::test]
async fn a_handle_is_good_for_its_user_thread_and_turn_only() {
    let case = Case::new(SEALED).await;
    let arguments = json!({ "access_token": case.shown("token") });
    let bob = request(&case.credentials, "bob", HEADERS);
    assert!(case.prepare_as(&bob, &arguments).await.is_err());
    let elsewhere = Case { thread: ThreadId::from("thr_2"), ..Case::new(SEALED).await };
    let own = json!({ "access_token": elsewhere.shown("token") });
    assert!(elsewhere.prepare(&own).await.is_err());
    let other_turn = Case::new(SEALED).await;
    assert!(other_turn.prepare(&arguments).await.is_err());
    let outgoing = case.prepare(&arguments).await.map_err(|it| it.to_string()).unwrap();
    case.seals.close();
    assert!(outgoing.put_into(&mut Map::new()).is_err());
    assert!(case.prepare(&arguments).await.is_err());
}

#[tokio::test]
async fn a_user_without_a_credential_sees_none_in_the_prompt() {
    let case = Case::new(SEALED).await;
    let seals = Seals::default();
    let nobody = request(&case.credentials, "ada", &[]);
    let names = BTreeMap::from([("token".to_owned(), InPrompt::Handle)]);
    seals.seal(&names, &case.credentials, &nobody).await;
    assert_eq!(seals.prompt(&case.credentials)["token"], Value::Null);
    assert!(seals.is_empty());
}

#[tokio::test]
async fn stored_calls_name_the_credential_and_show_the_handle_of_each_turn() {
    let (first, second) = (Case::new(SEALED).await, Case::new(SEALED).await);
    let handle = first.shown("token");
    let called = json!({ "access_token": handle, "text": format!("a {handle}") }).to_string();
    let stored = first.seals.unseal_names(&called).into_owned();
    assert_eq!(stored, r#"{"access_token":"[credential token]","text":"a [credential token]"}"#);
    let shown: Value = serde_json::from_str(&second.seals.reseal(&stored)).unwrap();
    assert_eq!(
        shown,
        json!({ "access_token": second.shown("token"), "text": "a [credential token]" })
    );
}

#[tokio::test]
async fn a_secret_passed_in_plain_text_stays_with_its_argument() {
    let case = Case::new(&SEALED.replace("sealed", "plaintext")).await;
    assert_eq!(case.shown("token"), "tok-ada-1");
    let sent = case.call(json!({ "access_token": "tok-ada-1" })).await.unwrap();
    let outgoing = case.prepare(&json!({ "access_token": "tok-ada-1" })).await;
    let carried = outgoing.map_err(|it| it.to_string()).unwrap().arguments().clone();
    assert_eq!(carried["access_token"], "[credential token]");
    assert_eq!(sent["access_token"], "tok-ada-1");
    let err = case.call(json!({ "text": "it is tok-ada-1" })).await.unwrap_err();
    assert!(err.contains("`token`") && !err.contains("tok-ada"), "{err}");
}

#[tokio::test]
async fn people_see_which_arguments_are_secret() {
    let case = Case::new(SEALED).await;
    let given = json!({ "user_id": "x", "access_token": case.shown("token"), "text": "hi" });
    let shown = case.rules.shown(given.as_object().unwrap());
    assert_eq!(Value::Object(shown), json!({ "access_token": "••• (notes)", "text": "hi" }));
}

#[tokio::test]
async fn the_model_sees_no_injected_argument() {
    let case = Case::new(SEALED).await;
    let schema = json!({
        "type": "object",
        "properties": { "user_id": {}, "access_token": {} },
        "required": ["user_id", "access_token"],
    });
    let hidden = json!({
        "type": "object", "properties": { "access_token": {} }, "required": ["access_token"],
    });
    assert_eq!(case.rules.hide(&schema), hidden);
    assert_eq!(case.rules.refusal(&schema), None);
    let header = json!({ "properties": { "access_token": { "x-mcp-header": "Token" } } });
    assert!(case.rules.refusal(&header).is_some());
}

#[tokio::test]
async fn rules_that_cannot_hold_are_load_errors_with_place_and_remedy() {
    let (_, errors) = read(
        &credentials().await,
        r#"headers = { Authorization = "Bearer {{ credential.nope }}", Host = "x", X-E = "{{ user.email }}" }
env = { TOKEN = "{{ credential.claim }}", NL = "a\nb" }
[[arguments]]
name = "a"
credential = "key"
mode = "plaintext"
[[arguments]]
name = "b"
value = "{{ user.id }}"
mode = "sealed"
[[arguments]]
credential = "key"
[[arguments]]
name = "c"
[[arguments]]
name = "d"
credential = "key"
[[arguments]]
name = "d"
credential = "token"
mode = "hidden"
[[arguments]]
name = "d"
credential = "token"
"#,
    );
    assert_snapshot!(errors, @r#"
    plugins/notes.mcp.toml:1:29: there is no credential `nope` (add `[credentials.nope]` to kitfox.toml, with its source)
    plugins/notes.mcp.toml:1:68: the header `Host` is set by Kitfox alone (leave it out)
    plugins/notes.mcp.toml:1:79: `headers.X-E`: `user.email` may be what the page says, and not the login (use `user.id`, or `user.claims.email` where the login has it)
    plugins/notes.mcp.toml:2:17: the credential `claim` may not go to the server `notes` (add `"notes"` to `destinations` of `[credentials.claim]` in kitfox.toml)
    plugins/notes.mcp.toml:2:48: `env.NL` holds a line break
    plugins/notes.mcp.toml:3:1: the credential `key` never expires, and is not shown to a model (write `mode = "sealed"`)
    plugins/notes.mcp.toml:7:1: the argument `b` has a `value`, which can only be injected (write `mode = "inject"`, or a `credential` in place of the value)
    plugins/notes.mcp.toml:11:1: `arguments[2]` needs a `name` (add the name of the tools' argument)
    plugins/notes.mcp.toml:13:1: the argument `c` has neither `value` nor `credential` (add `credential = "NAME"`, or `value = "{{ user.id }}"`)
    plugins/notes.mcp.toml:21:8: `arguments[5].mode` must be one of `inject`, `sealed`, `plaintext`, not `hidden`
    plugins/notes.mcp.toml:22:1: `arguments` names `d` twice (leave one of them out)
    "#);
}
