//! Credentials that the user's login is exchanged for.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{call, done};
use crate::tests::{
    authority::Authority,
    harness::{Server, chatkit_request, input, text},
    mcp::fake::{self, Fake, tool},
};

const ADA: &str = "login-of-ada-SECRET";
const BOB: &str = "login-of-bob-SECRET";

/// A project whose server `notes` takes what logins are exchanged for.
struct Scene {
    authority: Authority,
    server: Server,
    notes: Fake,
}

impl Scene {
    async fn start() -> Self {
        Self::start_as("token", "client_id = \"kitfox\"\nclient_secret = \"hush-hush\"").await
    }

    /// With these modes of logging in, and this beside what every such credential says.
    async fn start_as(modes: &str, more: &str) -> Self {
        let authority = Authority::start().await;
        let notes = Fake::with_tools(json!([tool("echo")]), |seen| async move {
            fake::text(&seen.body, "noted")
        })
        .await;
        let at = if more.contains("issuer") {
            String::new()
        } else {
            format!("token_endpoint = \"{}\"", authority.token_endpoint())
        };
        let more = more.replace("ISSUER", authority.resource().join("/auth").unwrap().as_str());
        let hash = |token: &str| format!("sha256:{:x}", Sha256::digest(token));
        let config = format!(
            r#"
            [auth.tokens.ada]
            hash = "{}"
            [auth.tokens.bob]
            hash = "{}"
            [credentials.notes_token]
            source = "exchange"
            {at}
            audience = "notes"
            resource = "https://notes.example.com/mcp"
            scopes = ["notes.read", "notes.write"]
            destinations = ["notes"]
            {more}
            "#,
            hash(ADA),
            hash(BOB)
        );
        let file = format!(
            "transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\n\
             headers = {{ Authorization = \"Bearer {{{{ credential.notes_token }}}}\" }}\n",
            notes.url
        );
        let files = [("kitfox.toml", config.as_str()), ("plugins/notes.mcp.toml", &file)];
        let server = Server::start_with(&files, &[("KITFOX_AUTH__MODE", modes)]).await;
        assert_eq!(server.errors(), "");
        Self { authority, server, notes }
    }

    /// A turn of whoever logs in so, in which the model calls the tool: what they saw.
    async fn turn(&self, login: &str) -> String {
        self.turn_with("notes__echo", login).await
    }

    async fn turn_with(&self, tool: &str, login: &str) -> String {
        let arguments = if tool == "notes__echo" { json!({ "text": "hi" }) } else { json!({}) };
        self.server.model.push(call(tool, arguments));
        self.server.model.push(done());
        let body = json!({ "type": "threads.create", "params": { "input": input("go") } });
        let mut request = chatkit_request("ada", &body);
        if !login.is_empty() {
            let authorization = format!("Bearer {login}").parse().unwrap();
            request.headers_mut().insert("authorization", authorization);
        }
        text(self.server.send(request).await).await
    }

    /// What the server was called with.
    fn sent(&self) -> Vec<String> {
        let seen = self.notes.seen.lock().unwrap();
        let calls = seen.iter().filter(|it| it.body["method"] == "tools/call");
        calls.map(|it| it.headers["authorization"].to_str().unwrap().to_owned()).collect()
    }

    /// Nobody but the token endpoint was sent the login.
    fn check_login_stays(&self, shown: &str) {
        let seen = format!("{:?}", self.notes.seen.lock().unwrap());
        let requests = format!("{:?}", self.server.model.requests());
        for (place, text) in [("server", seen.as_str()), ("model", &requests), ("user", shown)] {
            assert!(!text.contains("SECRET"), "{place}: {text}");
        }
    }
}

#[tokio::test]
async fn each_users_login_is_exchanged_once_for_what_the_server_takes() {
    let scene = Scene::start().await;
    let shown = scene.turn(ADA).await;
    let asked = scene.authority.last_token_request();
    let expected = [
        ("audience", "notes"),
        ("basic", "kitfox:hush-hush"),
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", "https://notes.example.com/mcp"),
        ("scope", "notes.read notes.write"),
        ("subject_token", ADA),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    let asked: Vec<_> = asked.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(asked, expected);
    scene.turn(ADA).await;
    assert_eq!(scene.authority.exchanges(), 1);
    scene.turn(BOB).await;
    scene.turn(ADA).await;
    assert_eq!(scene.authority.exchanges(), 2);
    assert_eq!(scene.authority.last_token_request()["subject_token"], BOB);
    let (adas, bobs) = ("Bearer exchanged-token-1", "Bearer exchanged-token-2");
    assert_eq!(scene.sent(), [adas, adas, bobs, adas]);
    scene.check_login_stays(&shown);
    assert!(!shown.contains("exchanged-token"), "{shown}");
}

#[tokio::test]
async fn a_client_is_who_it_is_said_to_be_and_may_be_nobody() {
    let scene = Scene::start_as("token", "").await;
    scene.turn(ADA).await;
    let asked = scene.authority.last_token_request();
    assert!(!asked.contains_key("client_id") && !asked.contains_key("basic"), "{asked:?}");
    let scene = Scene::start_as("token", "client_id = \"kitfox\"").await;
    scene.turn(ADA).await;
    assert_eq!(scene.authority.last_token_request()["client_id"], "kitfox");
    // By the metadata of its issuer.
    let scene = Scene::start_as("token", "issuer = \"ISSUER\"").await;
    scene.turn(ADA).await;
    assert_eq!(scene.sent(), ["Bearer exchanged-token-1"]);
}

#[tokio::test]
async fn a_token_that_ends_or_is_not_taken_is_exchanged_anew() {
    let scene = Scene::start().await;
    scene.authority.change_exchange("expires_in", json!(0));
    scene.turn(ADA).await;
    let before = scene.authority.exchanges();
    scene.turn(ADA).await;
    assert!(scene.authority.exchanges() > before);

    // The authority's own server takes what it exchanged, as long as it does.
    let scene = Scene::start().await;
    let file = format!(
        "transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\n\
         headers = {{ Authorization = \"Bearer {{{{ credential.notes_token }}}}\" }}\n",
        scene.authority.resource()
    );
    scene.server.save("plugins/notes.mcp.toml", &file).await;
    scene.turn_with("notes__next", ADA).await;
    assert_eq!(scene.authority.calls().len(), 1);
    scene.authority.expire_tokens();
    scene.turn_with("notes__next", ADA).await;
    assert_eq!(scene.authority.calls().len(), 2);
    assert_eq!(scene.authority.exchanges(), 2);
}

#[tokio::test]
async fn an_exchange_that_is_refused_is_told_without_the_token() {
    let cases: [(&[(&str, Value)], &str); 6] = [
        (&[("error", json!("invalid_target"))], "it answers `invalid_target`"),
        (&[("error", json!("SUBJECT"))], "it answers `an unknown error`"),
        (&[("error", json!("no: SUBJECT"))], "it answers `an unknown error`"),
        (&[("access_token", json!("SUBJECT"))], "it gives the login itself back"),
        (
            &[("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token"))],
            "what it gives is no access token",
        ),
        (&[("access_token", json!("short"))], "it answers `no_bearer_token`"),
    ];
    for (changes, expected) in cases {
        let scene = Scene::start().await;
        for (key, value) in changes {
            scene.authority.change_exchange(key, value.clone());
        }
        let begin = "error: the credential `notes_token` cannot be used: `http://127.0.0.1:";
        // Its tools cannot be listed: there is one that says why.
        let shown = scene.turn_with("notes__connect", ADA).await;
        let told = scene.server.last_input();
        assert!(told.contains(begin) && told.contains(expected), "{changes:?}: {told}");
        assert_eq!(scene.notes.seen.lock().unwrap().len(), 0, "{changes:?}");
        scene.check_login_stays(&shown);

        // Where they can be, their calls do.
        let args = format!(
            "transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\n\
             [[arguments]]\nname = \"text\"\ncredential = \"notes_token\"\n",
            scene.notes.url
        );
        scene.server.save("plugins/notes.mcp.toml", &args).await;
        let shown = scene.turn(ADA).await;
        let told = scene.server.last_input();
        assert!(told.contains(begin) && told.contains(expected), "{changes:?}: {told}");
        scene.check_login_stays(&shown);
    }
}

#[tokio::test]
async fn a_login_without_a_token_has_nothing_to_exchange() {
    let scene = Scene::start_as("token, session", "").await;
    let args = format!(
        "transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\n\
         [[arguments]]\nname = \"text\"\ncredential = \"notes_token\"\n",
        scene.notes.url
    );
    scene.server.save("plugins/notes.mcp.toml", &args).await;
    scene.turn("").await;
    let told = scene.server.last_input();
    assert!(
        told.contains(
            "error: the user has no credential `notes_token`: their login has no token that could be exchanged for it"
        ),
        "{told}"
    );
    assert_eq!(scene.authority.exchanges(), 0);
    assert_eq!(scene.sent(), Vec::<String>::new());
}
