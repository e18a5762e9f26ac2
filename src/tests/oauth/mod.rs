//! What users entrust to the server, and their logins at the servers of tools.

mod asked;

use axum::{
    body::Body,
    http::{
        Request, Response, StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
};
use serde_json::{Value, json};
use url::Url;

use crate::{
    model::ScriptedResponse,
    tests::{
        authority::Authority,
        harness::{Server, get_request, json_body, text},
        mcp::fake::Fake,
    },
};

/// A project whose agent has the tools of the authority's MCP server.
async fn with(authority: &Authority) -> Server {
    let file = format!(
        "transport = \"http\"\nurl = \"{}\"\n[oauth]\nlabel = \"Calendar\"\n",
        authority.resource()
    );
    Server::start(&[("plugins/calendar.mcp.toml", &file)]).await
}

/// The card among these events that asks the user to connect.
fn find_card(events: &[Value]) -> &Value {
    let mut items = events.iter().map(|it| &it["item"]);
    let card = items.rfind(|it| it["widget"]["id"] == "kitfox.connect");
    card.unwrap_or_else(|| panic!("no card: {events:?}"))
}

/// The path of its link.
fn link(card: &Value) -> String {
    let children = card["widget"]["children"].as_array().unwrap();
    let markdown = children.iter().find(|it| it["type"] == "Markdown").unwrap();
    let (_, url) = markdown["value"].as_str().unwrap().split_once("](").unwrap();
    let url = Url::parse(url.trim_end_matches(')')).unwrap();
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

async fn click(server: &Server, user: &str, thread: &str, card: &Value) -> Vec<Value> {
    let action = json!({ "type": "kitfox.approve" });
    let params = json!({ "thread_id": thread, "item_id": card["id"], "action": action });
    server.stream(user, "threads.custom_action", params).await
}

/// The way back from a login: its path and the cookie that goes with it.
struct Back {
    path: String,
    cookie: String,
}

/// Begins a login at the path of a link, and logs in at the authority.
async fn begin(server: &Server, authority: &Authority, user: &str, path: &str) -> Back {
    let response = server.send(get_request(user, path)).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let url = Url::parse(response.headers()[LOCATION].to_str().unwrap()).unwrap();
    let back = authority.visit(&url).await;
    Back { path: format!("{}?{}", back.path(), back.query().unwrap()), cookie }
}

async fn come_back(server: &Server, user: &str, back: &Back) -> Response<Body> {
    let request = Request::get(&back.path)
        .header("host", "localhost")
        .header("x-user-id", user)
        .header("cookie", format!("theme=dark; {}", back.cookie));
    server.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_call_that_needs_a_login_goes_on_after_it() {
    let authority = Authority::start().await;
    let server = with(&authority).await;
    server.model.push(ScriptedResponse::call("calendar__connect", json!({})));
    let (thread, events) = server.create("ada", "what is next?").await;
    let card = find_card(&events);
    assert_eq!(card["widget"]["children"][0]["value"], "Connect Calendar");
    assert_eq!(card["widget"]["confirm"]["label"], "Continue");

    let back = begin(&server, &authority, "ada", &link(card)).await;
    let response = come_back(&server, "ada", &back).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(text(response).await.contains("Calendar is connected"));

    server.model.push(ScriptedResponse::call("calendar__next", json!({})));
    server.model.push(ScriptedResponse::text("Lunch."));
    let events = click(&server, "ada", &thread, card).await;
    assert_eq!(events.iter().filter(|it| it["type"] == "error").count(), 0, "{events:?}");
    let input = server.last_input();
    assert!(input.contains("the user has connected"), "{input}");
    assert!(input.contains("lunch at noon"), "{input}");
    assert_eq!(authority.calls().len(), 1);
    let items = server.items("ada", &thread).await;
    assert!(items.contains("\"Continued\""), "{items}");
}

#[tokio::test]
async fn a_click_without_a_login_asks_again() {
    let authority = Authority::start().await;
    let server = with(&authority).await;
    server.model.push(ScriptedResponse::call("calendar__connect", json!({})));
    let (thread, events) = server.create("ada", "what is next?").await;
    let first = find_card(&events);
    let events = click(&server, "ada", &thread, first).await;
    let second = find_card(&events);
    assert_ne!(first["id"], second["id"]);
    let back = begin(&server, &authority, "ada", &link(second)).await;
    come_back(&server, "ada", &back).await;
    server.model.push(ScriptedResponse::text("Connected."));
    click(&server, "ada", &thread, second).await;
    assert_eq!(server.model.remaining(), 0);
}

#[tokio::test]
async fn a_login_is_ended_by_who_began_it_and_once() {
    let authority = Authority::start().await;
    let server = with(&authority).await;
    server.model.push(ScriptedResponse::call("calendar__connect", json!({})));
    let (_, events) = server.create("ada", "what is next?").await;
    let path = link(find_card(&events));
    // Another user gets nowhere with ada's link.
    let response = server.send(get_request("bob", &path)).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);

    let back = begin(&server, &authority, "ada", &path).await;
    let refused = async |user: &str, path: String, cookie: &str| {
        let back = Back { path, cookie: cookie.to_owned() };
        let response = come_back(&server, user, &back).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        text(response).await
    };
    refused("bob", back.path.clone(), &back.cookie).await;
    refused("ada", back.path.clone(), "kitfox_login=x").await;
    refused("ada", back.path.replace("state=", "state=x"), &back.cookie).await;
    let issuer = back.path.replace("&iss=http", "&iss=https");
    assert_ne!(issuer, back.path);
    refused("ada", issuer, &back.cookie).await;
    assert_eq!(authority.token_requests(), 0);

    assert_eq!(come_back(&server, "ada", &back).await.status(), StatusCode::OK);
    let page = refused("ada", back.path.clone(), &back.cookie).await;
    assert!(page.contains("begin it again"), "{page}");
    assert_eq!(authority.token_requests(), 1);
}

#[tokio::test]
async fn each_user_calls_with_their_own_token() {
    let authority = Authority::start().await;
    let server = with(&authority).await;
    for user in ["ada", "bob"] {
        server.model.push(ScriptedResponse::call("calendar__connect", json!({})));
        let (thread, events) = server.create(user, "what is next?").await;
        let card = find_card(&events);
        let back = begin(&server, &authority, user, &link(card)).await;
        come_back(&server, user, &back).await;
        server.model.push(ScriptedResponse::call("calendar__next", json!({})));
        server.model.push(ScriptedResponse::text("Lunch."));
        click(&server, user, &thread, card).await;
    }
    let calls = authority.calls();
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0], calls[1]);
}

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_refreshed_and_the_call_goes_on() {
    let authority = Authority::start().await;
    let server = with(&authority).await;
    server.model.push(ScriptedResponse::call("calendar__connect", json!({})));
    let (thread, events) = server.create("ada", "what is next?").await;
    let card = find_card(&events);
    let back = begin(&server, &authority, "ada", &link(card)).await;
    come_back(&server, "ada", &back).await;
    server.model.push(ScriptedResponse::call("calendar__next", json!({})));
    server.model.push(ScriptedResponse::text("Lunch."));
    click(&server, "ada", &thread, card).await;
    authority.expire_tokens();
    server.model.push(ScriptedResponse::call("calendar__next", json!({})));
    server.model.push(ScriptedResponse::text("Lunch again."));
    server.say("ada", &thread, "and now?").await;
    assert!(!server.last_input().contains("error"), "{}", server.last_input());
    assert_eq!(authority.calls().len(), 2);
    assert_eq!(authority.refreshes(), 1);
    // A login that was revoked has to be done again.
    authority.revoke();
    server.model.push(ScriptedResponse::call("calendar__connect", json!({})));
    let events = server.say("ada", &thread, "and now?").await;
    find_card(&events);
}

const CONFIG: &str = r#"
    [credentials.notes_token]
    source = "store"
    label = "The key of <Notes>"
    destinations = ["notes"]
"#;

/// A project whose MCP server wants a credential that users enter, and that server.
async fn with_entered() -> (Server, Fake) {
    let fake = Fake::echo().await;
    let file = format!(
        "transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\npool = \"per_user\"\n\
         headers = {{ Authorization = \"Token {{{{ credential.notes_token }}}}\" }}\n",
        fake.url
    );
    let files = [("kitfox.toml", CONFIG), ("plugins/notes.mcp.toml", &file)];
    (Server::start(&files).await, fake)
}

fn form(user: &str, origin: &str, body: &str) -> Request<Body> {
    Request::post("/credentials")
        .header("host", "localhost")
        .header("origin", origin)
        .header("x-user-id", user)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn a_credential_that_is_missing_is_asked_for_and_the_call_goes_on() {
    let (server, fake) = with_entered().await;
    server.model.push(ScriptedResponse::call("notes__connect", json!({})));
    let (thread, events) = server.create("ada", "echo hi").await;
    let card = find_card(&events);
    assert_eq!(link(card), "/credentials");
    let save = form("ada", "http://localhost", "do=save&name=notes_token&value=adas-secret-1");
    assert_eq!(server.send(save).await.status(), StatusCode::SEE_OTHER);
    server.model.push(ScriptedResponse::call("notes__echo", json!({ "text": "hi" })));
    server.model.push(ScriptedResponse::text("done"));
    click(&server, "ada", &thread, card).await;
    assert_eq!(fake.count("tools/call"), 1);
    let seen = fake.seen.lock().unwrap();
    let call = seen.iter().find(|it| it.body["method"] == "tools/call").unwrap();
    assert_eq!(call.headers["authorization"], "Token adas-secret-1");
}

#[tokio::test]
async fn what_was_entered_is_never_shown_again() {
    let (server, _fake) = with_entered().await;
    let save = form("ada", "http://localhost", "do=save&name=notes_token&value=adas-secret-1");
    server.send(save).await;
    let page = server.send(get_request("ada", "/credentials")).await;
    assert_eq!(page.headers()["cache-control"], "no-store");
    assert_eq!(page.headers()["x-frame-options"], "DENY");
    // With `no-referrer` browsers send its forms from the origin `null`, which is refused.
    assert_eq!(page.headers()["referrer-policy"], "same-origin");
    let page = text(page).await;
    assert!(page.contains("The key of &#60;Notes&#62;"), "{page}");
    assert!(page.contains("entered on"), "{page}");
    assert!(!page.contains("adas-secret"), "{page}");
    let list = json_body(server.send(get_request("ada", "/api/credentials")).await).await;
    assert_eq!(list["credentials"][0]["name"], "notes_token");
    assert!(list["credentials"][0]["since"].is_string(), "{list}");
    assert!(!list.to_string().contains("adas-secret"), "{list}");
    let list = json_body(server.send(get_request("bob", "/api/credentials")).await).await;
    assert!(list["credentials"][0]["since"].is_null(), "{list}");
}

#[tokio::test]
async fn a_credential_is_entered_by_our_own_page_and_is_long_enough() {
    let (server, _fake) = with_entered().await;
    let send = async |request: Request<Body>| server.send(request).await.status().as_u16();
    let body = "do=save&name=notes_token&value=adas-secret-1";
    assert_eq!(send(form("ada", "https://evil.example", body)).await, 403);
    assert_eq!(send(form("ada", "null", body)).await, 403);
    assert_eq!(
        send(form("ada", "http://localhost", "do=save&name=other&value=long-enough")).await,
        404
    );
    let short =
        server.send(form("ada", "http://localhost", "do=save&name=notes_token&value=sh0rt")).await;
    assert_eq!(short.status(), StatusCode::BAD_REQUEST);
    let short = text(short).await;
    assert!(short.contains("fewer than 8 characters") && !short.contains("sh0rt"), "{short}");
    let list = json_body(server.send(get_request("ada", "/api/credentials")).await).await;
    assert!(list["credentials"][0]["since"].is_null(), "{list}");

    let put = |body: &'static str| {
        Request::put("/api/credentials/notes_token")
            .header("host", "localhost")
            .header("x-user-id", "ada")
            .body(Body::from(body))
            .unwrap()
    };
    assert_eq!(send(put(r#"{"value": "short"}"#)).await, 400);
    assert_eq!(send(put("nonsense-secret")).await, 400);
    assert_eq!(send(put(r#"{"value": "adas-secret-2"}"#)).await, 204);
    let delete = || {
        Request::delete("/api/credentials/notes_token")
            .header("host", "localhost")
            .header("x-user-id", "ada")
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(send(delete()).await, 204);
    assert_eq!(send(delete()).await, 404);
}

#[tokio::test]
async fn other_servers_learn_who_we_are() {
    let server = Server::start(&[(
        "kitfox.toml",
        "[project]\nname = \"Demo\"\n[server]\npublic_url = \"https://chat.example.org/ai\"\n",
    )])
    .await;
    let document = json_body(server.send(get_request("ada", "/oauth/client.json")).await).await;
    assert_eq!(document["client_id"], "https://chat.example.org/ai/oauth/client.json");
    assert_eq!(document["redirect_uris"], json!(["https://chat.example.org/ai/oauth/callback"]));
    assert_eq!(document["token_endpoint_auth_method"], "none");
}

#[tokio::test]
async fn where_keys_must_be_made_that_is_told_at_load() {
    let config = format!("[server]\npublic_url = \"https://chat.example.org\"\n{CONFIG}");
    let server = Server::start(&[("kitfox.toml", &config)]).await;
    assert!(
        server.errors().contains("make `kitfox.keys` with `kitfox keys new`"),
        "{}",
        server.errors()
    );
    let save = Request::put("/api/credentials/notes_token")
        .header("host", "chat.example.org")
        .header("x-user-id", "ada")
        .body(Body::from(r#"{"value": "adas-secret-2"}"#))
        .unwrap();
    assert_eq!(server.send(save).await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_login_that_cannot_work_is_told_at_load() {
    let file = "transport = \"http\"\nurl = \"https://calendar.example.com/mcp\"\n\
                headers = { authorization = \"Bearer x\" }\n[oauth]\nclient_secret = \"hush-hush\"\nscope = \"x\"\n";
    let server = Server::start(&[("plugins/calendar.mcp.toml", file)]).await;
    let errors = server.errors();
    for problem in [
        "`headers` sets `Authorization`, and `[oauth]` does so too",
        "`oauth.client_secret` stands in the file",
        "`oauth.scope`",
    ] {
        assert!(errors.contains(problem), "{problem}: {errors}");
    }
    assert!(!errors.contains("hush-hush"), "{errors}");
}

#[tokio::test]
async fn a_credential_may_come_of_a_login() {
    let authority = Authority::start().await;
    let issuer = authority.resource().join("/auth").unwrap();
    let config = format!(
        "[credentials.drive]\nsource = \"oauth\"\nlabel = \"Drive\"\nissuer = \"{issuer}\"\nscopes = [\"drive.read\"]\n\
         client_id = \"kitfox\"\ndestinations = [\"notes\"]\n"
    );
    let fake = Fake::echo().await;
    let file = format!(
        "transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\npool = \"per_user\"\n\
         headers = {{ X-Drive = \"{{{{ credential.drive }}}}\" }}\n",
        fake.url
    );
    let files = [("kitfox.toml", config.as_str()), ("plugins/notes.mcp.toml", &file)];
    let server = Server::start(&files).await;
    assert_eq!(server.errors(), "");
    server.model.push(ScriptedResponse::call("notes__connect", json!({})));
    let (thread, events) = server.create("ada", "echo hi").await;
    let card = find_card(&events);
    let back = begin(&server, &authority, "ada", &link(card)).await;
    assert_eq!(come_back(&server, "ada", &back).await.status(), StatusCode::OK);
    server.model.push(ScriptedResponse::call("notes__echo", json!({ "text": "hi" })));
    server.model.push(ScriptedResponse::text("done"));
    click(&server, "ada", &thread, card).await;
    {
        let seen = fake.seen.lock().unwrap();
        let call = seen.iter().find(|it| it.body["method"] == "tools/call").unwrap();
        assert!(call.headers["x-drive"].to_str().unwrap().starts_with("access-token-"));
    }
    // The page can disconnect it.
    let page = text(server.send(get_request("ada", "/credentials")).await).await;
    assert!(page.contains("connected on") && page.contains("Disconnect"), "{page}");
    let delete = form("ada", "http://localhost", "do=delete&name=credential%3Adrive");
    assert_eq!(server.send(delete).await.status(), StatusCode::SEE_OTHER);
    let page = text(server.send(get_request("ada", "/credentials")).await).await;
    assert!(page.contains("not connected"), "{page}");
}
