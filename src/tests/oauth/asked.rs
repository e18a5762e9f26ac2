//! Servers whose files say nothing of logins, and which ask for them; and those that ask for more.

use axum::http::StatusCode;
use serde_json::json;

use super::{begin, click, come_back, find_card, link};
use crate::{
    model::ScriptedResponse,
    tests::{
        authority::Authority,
        harness::{Server, get_request, json_body, text},
    },
};

/// A project with the authority's MCP server, of which its file says this beside its URL.
async fn with(authority: &Authority, more: &str, config: &str) -> Server {
    let file = format!("transport = \"http\"\nurl = \"{}\"\n{more}\n", authority.resource());
    let server =
        Server::start(&[("kitfox.toml", config), ("plugins/calendar.mcp.toml", &file)]).await;
    assert_eq!(server.errors(), "");
    server
}

/// What some servers tell anybody.
const OPEN: &[&str] = &["server/discover", "initialize", "notifications/initialized", "tools/list"];

/// A turn in which the model only answers: the tools that it was offered.
async fn offered(server: &Server, user: &str) -> Vec<String> {
    server.model.push(ScriptedResponse::text("hi"));
    server.create(user, "hi").await;
    let requests = server.model.requests();
    requests.last().unwrap().tools.iter().map(|it| it.name.clone()).collect()
}

/// The tools, once they are these: what a server asks for is looked into beside the turns.
async fn until_offered(server: &Server, user: &str, expected: &[&str]) {
    let mut seen = Vec::new();
    for _ in 0..50 {
        seen = offered(server, user).await;
        if seen == expected {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{seen:?}");
}

/// Has the user connect by the card that a call of this tool shows, and goes on with these calls.
async fn connect(
    server: &Server,
    authority: &Authority,
    user: &str,
    tool: &str,
    responses: Vec<ScriptedResponse>,
) -> String {
    server.model.push(ScriptedResponse::call(tool, json!({})));
    let (thread, events) = server.create(user, "what is next?").await;
    let card = find_card(&events);
    let back = begin(server, authority, user, &link(card)).await;
    let response = come_back(server, user, &back).await;
    assert_eq!(response.status(), StatusCode::OK);
    for response in responses {
        server.model.push(response);
    }
    click(server, user, &thread, card).await;
    thread
}

fn next() -> ScriptedResponse {
    ScriptedResponse::call("calendar__next", json!({}))
}

fn done() -> ScriptedResponse {
    ScriptedResponse::text("done")
}

#[tokio::test]
async fn a_server_that_asks_for_a_login_gets_one_though_its_file_names_none() {
    let authority = Authority::start().await;
    let server = with(&authority, "", "").await;
    until_offered(&server, "ada", &["calendar__connect"]).await;
    let status = server.app.generation().mcp.statuses();
    assert_eq!(json!(status[0])["state"], "needs_login", "{status:?}");
    connect(&server, &authority, "ada", "calendar__connect", vec![next(), done()]).await;
    assert!(server.last_input().contains("lunch at noon"), "{}", server.last_input());
    // Whoever has not logged in has not, and gets nowhere with what others have.
    assert_eq!(offered(&server, "bob").await, ["calendar__connect"]);
    connect(&server, &authority, "bob", "calendar__connect", vec![next(), done()]).await;
    let calls = authority.calls();
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0], calls[1]);
    // As with any other login.
    authority.expire_tokens();
    server.model.push(next());
    server.model.push(done());
    server.create("ada", "and now?").await;
    assert_eq!(authority.calls().len(), 3, "{}", server.last_input());
    assert_eq!(authority.refreshes(), 1);
}

#[tokio::test]
async fn a_call_that_is_asked_for_a_login_goes_on_after_it_and_others_are_not_bothered() {
    let authority = Authority::start().await;
    authority.open(OPEN);
    let server = with(&authority, "", "").await;
    until_offered(&server, "ada", &["calendar__next"]).await;
    connect(&server, &authority, "ada", "calendar__next", vec![done()]).await;
    assert!(server.last_input().contains("lunch at noon"), "{}", server.last_input());
    assert_eq!(authority.calls().len(), 1);
    // Without a login, what needs none is there.
    assert_eq!(offered(&server, "bob").await, ["calendar__next"]);
    server.model.push(next());
    let (_, events) = server.create("bob", "what is next?").await;
    find_card(&events);
    assert_eq!(authority.calls().len(), 1);
}

#[tokio::test]
async fn where_credentials_go_nobody_is_asked_to_log_in() {
    let config = "[credentials.key]\nsource = \"static\"\nvalue = \"static-SECRET-1\"\ndestinations = [\"calendar\"]\n";
    for more in [
        "headers = { Authorization = \"Bearer {{ credential.key }}\" }",
        "headers = { X-Key = \"{{ credential.key }}\" }",
        "headers = { authorization = \"Bearer known\" }",
        "headers = { X-Api-Key = \"known\" }",
        "[[arguments]]\nname = \"key\"\ncredential = \"key\"",
        "oauth = false",
    ] {
        let authority = Authority::start().await;
        authority.open(OPEN);
        let server = with(&authority, more, config).await;
        until_offered(&server, "ada", &["calendar__next"]).await;
        server.model.push(next());
        server.model.push(done());
        let (_, events) = server.create("ada", "what is next?").await;
        assert!(!json!(events).to_string().contains("kitfox.connect"), "{more}: {events:?}");
        let input = server.last_input();
        let expected = if more.contains("credential") {
            "output \"error: the server `calendar` does not take the credentials that it was sent\""
        } else {
            "output \"error: the server `calendar` wants to know who asks, and does not say where users log in"
        };
        assert!(input.contains(expected), "{more}: {input}");
        assert_eq!(offered(&server, "ada").await, ["calendar__next"], "{more}");
        let list = json_body(server.send(get_request("ada", "/api/credentials")).await).await;
        assert_eq!(list["credentials"], json!([]), "{more}");
        assert_eq!(authority.token_requests(), 0);
    }
}

#[tokio::test]
async fn what_asks_for_a_login_and_has_none_is_not_followed() {
    type Change = fn(&Authority);
    let cases: [(&str, Change); 5] = [
        ("another scheme", |it| it.challenge("Basic realm=\"calendar\"")),
        ("link-local metadata", |it| it.advertise("http://169.254.169.254/latest/meta-data")),
        ("metadata of another", |it| it.name_resource("https://bank.example/mcp")),
        ("redirected metadata", |it| it.redirect_metadata(true)),
        ("another authority", |it| it.name_server("http://169.254.169.254")),
    ];
    for (case, change) in cases {
        let authority = Authority::start().await;
        change(&authority);
        let server = with(&authority, "", "").await;
        for _ in 0..3 {
            assert_eq!(offered(&server, "ada").await, Vec::<String>::new(), "{case}");
        }
        assert_eq!(authority.redirected(), 0, "{case}");
        assert_eq!(authority.registrations(), 0, "{case}");
        if case == "another scheme" {
            // It has metadata, though it does not say so.
            continue;
        }
        // Nor does a login begin for whoever makes up the link.
        let generation = server.app.generation();
        let accounts = generation.host.credentials.accounts();
        let user = crate::user::UserKey::new("header", "", "ada");
        let made_up = url::Url::parse(&accounts.link("mcp:calendar", &user)).unwrap();
        let path = format!("{}?{}", made_up.path(), made_up.query().unwrap());
        let answer = server.send(get_request("ada", &path)).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{case}");
        let page = text(answer).await;
        assert!(page.contains("cannot be connected"), "{case}: {page}");
    }
}

#[tokio::test]
async fn a_server_is_among_the_logins_once_it_asked() {
    let authority = Authority::start().await;
    authority.open(OPEN);
    let server = with(&authority, "", "").await;
    until_offered(&server, "ada", &["calendar__next"]).await;
    let names = async || {
        let list = json_body(server.send(get_request("ada", "/api/credentials")).await).await;
        list["credentials"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names().await, Vec::<serde_json::Value>::new());
    connect(&server, &authority, "ada", "calendar__next", vec![done()]).await;
    assert_eq!(names().await, ["mcp:calendar"]);
}

#[tokio::test]
async fn a_list_that_needs_more_than_the_login_gave_is_asked_for_again() {
    for method in ["tools/list", "initialize"] {
        let authority = Authority::start().await;
        authority.need(method, "calendar.write");
        let server = with(&authority, "[oauth]", "").await;
        server.model.push(ScriptedResponse::call("calendar__connect", json!({})));
        let (thread, events) = server.create("ada", "what is next?").await;
        let first = find_card(&events);
        let back = begin(&server, &authority, "ada", &link(first)).await;
        assert_eq!(come_back(&server, "ada", &back).await.status(), StatusCode::OK);
        // What it gave is not enough to go on with.
        let events = click(&server, "ada", &thread, first).await;
        let second = find_card(&events);
        let back = begin(&server, &authority, "ada", &link(second)).await;
        assert_eq!(come_back(&server, "ada", &back).await.status(), StatusCode::OK);
        server.model.push(next());
        server.model.push(done());
        click(&server, "ada", &thread, second).await;
        assert_eq!(authority.calls().len(), 1, "{method}: {}", server.last_input());
        assert_eq!(authority.token_requests(), 2, "{method}");
    }
}
