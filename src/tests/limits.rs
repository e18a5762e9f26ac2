//! What each user, organisation and address may take.

use axum::{
    body::Body,
    http::{Request, Response, StatusCode, header::RETRY_AFTER},
};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    model::{ScriptedResponse, ScriptedStep, Usage},
    server::Peer,
    tests::harness::{
        Server, chatkit_request, event_line, events, get_request, input, json_body, text,
    },
};

async fn start(limits: &str) -> Server {
    let server = Server::start(&[("kitfox.toml", limits)]).await;
    for _ in 0..20 {
        server.model.push(ScriptedResponse::text("hello"));
    }
    server
}

async fn create(server: &Server, user: &str) -> Response<Body> {
    let params = json!({ "input": input("hi") });
    server.post(user, &json!({ "type": "threads.create", "params": params })).await
}

/// Whether a turn ran to its end.
async fn turn_is_served(server: &Server, user: &str) -> bool {
    let response = create(server, user).await;
    let status = response.status();
    let shown = text(response).await;
    server.app.running.idle().await;
    match status {
        StatusCode::OK => {
            assert!(shown.contains("hello"), "{shown}");
            true
        }
        StatusCode::TOO_MANY_REQUESTS => false,
        other => panic!("{other}: {shown}"),
    }
}

#[tokio::test]
async fn a_user_has_so_many_turns_a_day_and_is_told_when_there_are_more() {
    let server = start("limits.user.turns_per_day = 2").await;
    assert!(turn_is_served(&server, "ada").await);
    assert!(turn_is_served(&server, "ada").await);
    let response = create(&server, "ada").await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = response.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&seconds), "{seconds}");
    let body = json_body(response).await;
    assert_eq!(body["limit"], "turns_per_day");
    assert_eq!((&body["of"], &body["most"]), (&json!("user"), &json!(2)));
    assert!(body["available_at"].as_str().unwrap().ends_with("T00:00:00Z"), "{body}");
    let message = "you have reached your limit of 2 messages a day: there is more at 00:00:00 UTC";
    assert_eq!(body["message"], message);
    // Nothing of the refused message is there, and somebody else goes on.
    let (_, list) = server.call("ada", "threads.list", json!({})).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    assert!(turn_is_served(&server, "bob").await);
}

#[tokio::test]
async fn two_servers_on_one_database_share_a_limit() {
    let folder = tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("shared.db").display());
    let files = [("kitfox.toml", "limits.user.turns_per_day = 3")];
    let one = Server::start_on(&files, &url).await;
    let two = Server::start_on(&files, &url).await;
    for server in [&one, &two] {
        (0..10).for_each(|_| server.model.push(ScriptedResponse::text("hello")));
    }
    let mut served = 0;
    for _ in 0..3 {
        served += usize::from(turn_is_served(&one, "ada").await);
        served += usize::from(turn_is_served(&two, "ada").await);
    }
    assert_eq!(served, 3);
}

#[tokio::test]
async fn near_the_end_of_a_limit_the_user_is_told_once() {
    let server = start("limits.user.turns_per_day = 10").await;
    let mut told = Vec::new();
    for turn in 1..=10 {
        let shown = text(create(&server, "ada").await).await;
        server.app.running.idle().await;
        let notices = events(&shown).into_iter().filter(|it| it["type"] == "notice");
        told.extend(notices.map(|it| format!("{turn}: {}", event_line(&it))));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    insta::assert_snapshot!(told[0], @r#"9: notice {"level":"warning","message":"1 of your 10 messages a day are left until 00:00 UTC"}"#);
}

#[tokio::test]
async fn tokens_are_counted_when_they_are_spent() {
    let server = Server::start(&[("kitfox.toml", "limits.user.tokens_per_day = 100")]).await;
    for _ in 0..3 {
        server.model.push(ScriptedResponse::steps([
            ScriptedStep::text("hello"),
            ScriptedStep::Usage(Usage { input_tokens: 50, output_tokens: 10 }),
        ]));
    }
    assert!(turn_is_served(&server, "ada").await);
    assert!(turn_is_served(&server, "ada").await);
    assert!(!turn_is_served(&server, "ada").await);
    assert!(turn_is_served(&server, "bob").await);
}

#[tokio::test]
async fn requests_are_counted_by_user() {
    let server = start("limits.user.requests_per_minute = 2").await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(server.call("ada", "threads.list", json!({})).await.0.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(server.call("bob", "threads.list", json!({})).await.0, StatusCode::OK);
}

fn from(mut request: Request<Body>, peer: &str, forwarded: Option<&str>) -> Request<Body> {
    request.extensions_mut().insert(Peer(peer.parse().unwrap()));
    if let Some(forwarded) = forwarded {
        request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn requests_are_counted_by_the_address_that_a_trusted_proxy_tells() {
    let config = "limits.address.requests_per_minute = 1\nauth.trusted_proxies = ['10.0.0.0/8']";
    let server = start(config).await;
    let ask = async |peer: &str, forwarded: Option<&str>| {
        let request = from(get_request("ada", "/chatkit/options"), peer, forwarded);
        server.send(request).await.status().as_u16()
    };
    assert_eq!(ask("10.0.0.1", Some("192.0.2.1")).await, 200);
    assert_eq!(ask("10.0.0.1", Some("192.0.2.1")).await, 429);
    assert_eq!(ask("10.0.0.2", Some("203.0.113.1, 192.0.2.1")).await, 429);
    assert_eq!(ask("10.0.0.1", Some("192.0.2.2")).await, 200);
    // One that is no proxy of ours speaks for itself alone.
    assert_eq!(ask("198.51.100.1", Some("192.0.2.3")).await, 401);
    assert_eq!(ask("198.51.100.1", Some("192.0.2.4")).await, 429);
    // Whoever watches over the server is never too many.
    let health = from(get_request("ada", "/healthz"), "10.0.0.1", Some("192.0.2.1"));
    assert_eq!(server.send(health).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn turns_are_counted_by_address_whoever_its_users_say_that_they_are() {
    let server = start("limits.address.turns_per_day = 1").await;
    let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
    let ask = async |user: &str| {
        let response = server.send(from(chatkit_request(user, &body), "192.0.2.1", None)).await;
        let status = response.status().as_u16();
        text(response).await;
        status
    };
    assert_eq!(ask("ada").await, 200);
    assert_eq!(ask("bob").await, 429);
}

#[tokio::test]
async fn a_user_has_so_many_turns_at_one_time() {
    let server = Server::start(&[("kitfox.toml", "limits.user.streams = 1")]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("hel|lo"),
        ScriptedStep::Gate("open".to_owned()),
    ]));
    server.model.push(ScriptedResponse::text("hello"));
    let first = create(&server, "ada").await;
    let refused = create(&server, "ada").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let body = json_body(refused).await;
    let message =
        "you have reached your limit of 1 answers at one time: wait until one of them has ended";
    assert_eq!(body["message"], message);
    // Who leaves ends their turn.
    drop(first);
    server.app.running.idle().await;
    assert!(turn_is_served(&server, "ada").await);
}

#[tokio::test]
async fn so_many_bytes_are_uploaded_a_day() {
    let server = start("limits.user.upload_bytes_per_day = 10").await;
    let upload = async |size: u64| {
        let params = json!({ "name": "a.txt", "size": size, "mime_type": "text/plain" });
        server.call("ada", "attachments.create", params).await.0.as_u16()
    };
    assert_eq!(upload(11).await, 429);
    assert_eq!(upload(6).await, 200);
    assert_eq!(upload(5).await, 429);
    assert_eq!(upload(4).await, 200);
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_and_not_stored() {
    let server = start("limits.message_bytes = 5").await;
    let (status, body): (_, Value) =
        server.call("ada", "threads.create", json!({ "input": input("sixsix") })).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(body["message"].as_str().unwrap().contains("message_bytes"), "{body}");
    let (_, list) = server.call("ada", "threads.list", json!({})).await;
    assert_eq!(list["data"], json!([]));
}

#[tokio::test]
async fn a_turn_that_takes_too_long_is_ended_with_what_it_said() {
    let server = Server::start(&[("kitfox.toml", "limits.turn_time = '1s'")]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("par|tial"),
        ScriptedStep::Gate("never".to_owned()),
    ]));
    let (thread, events) = server.create("ada", "hi").await;
    let last = event_line(events.last().unwrap());
    insta::assert_snapshot!(last, @r#"error {"code":"custom","message":"The assistant took too long. Please try again.","allow_retry":true}"#);
    insta::assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "hi"
    assistant_message "partial"
    "#);
}
