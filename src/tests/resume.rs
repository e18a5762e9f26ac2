//! Turns that outlive the connection they began on: read on, and stopped, from another.

use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    model::{ScriptedResponse, ScriptedStep},
    tests::{
        harness::{Server, get_request, input, json_body, text},
        turns::read_until,
    },
};

/// Begins a turn whose client may come back, which says `Hel`, waits at the gate `held`, and says `lo`.
async fn begin(server: &Server, user: &str) -> (String, Response<Body>) {
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("Hel"),
        ScriptedStep::Gate("held".to_owned()),
        ScriptedStep::text("lo"),
    ]));
    let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
    let request = Request::post("/chatkit?resumable=true")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-user-id", user)
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = server.send(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    server.model.reached("held").await;
    let (_, page) = server.call(user, "threads.list", json!({})).await;
    let thread = page["data"][0]["id"].as_str().unwrap().to_owned();
    (thread, response)
}

async fn attach(server: &Server, user: &str, thread: &str, query: &str) -> Response<Body> {
    let path = format!("/chatkit/threads/{thread}/stream{query}");
    server.send(get_request(user, &path)).await
}

async fn stop(server: &Server, user: &str, thread: &str) -> Response<Body> {
    let request = Request::post(format!("/chatkit/threads/{thread}/stop"))
        .header("host", "localhost")
        .header("x-user-id", user)
        .body(Body::empty())
        .unwrap();
    server.send(request).await
}

/// The numbers of the frames, and their events.
fn numbered(text: &str) -> Vec<(u64, Value)> {
    let frames = text.split_terminator("\n\n").filter(|it| !it.starts_with(':'));
    let parts = frames.map(|it| it.strip_prefix("id: ").unwrap().split_once("\ndata: ").unwrap());
    parts.map(|(id, data)| (id.parse().unwrap(), serde_json::from_str(data).unwrap())).collect()
}

#[tokio::test]
async fn a_client_that_lost_its_connection_reads_on_where_it_was() {
    let server = Server::start(&[]).await;
    let (thread, response) = begin(&server, "ada").await;
    let seen = read_until(response, "\"delta\":\"Hel\"").await;
    let seen = numbered(&seen);
    let last = seen.last().unwrap().0;
    assert_eq!(last, seen[0].0 + seen.len() as u64 - 1, "numbers grow by one");

    let rest = attach(&server, "ada", &thread, &format!("?after={last}")).await;
    let all = attach(&server, "ada", &thread, "").await;
    server.model.open("held");
    let rest = numbered(&text(rest).await);
    let all = numbered(&text(all).await);
    assert_eq!(rest[0].0, last + 1);
    assert_eq!(all, [seen, rest].concat(), "nothing is missing, and nothing comes twice");
    assert_eq!(all.last().unwrap().1["item"]["content"][0]["text"], "Hello");
    assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "hi"
    assistant_message "Hello"
    "#);
    let after_the_end = attach(&server, "ada", &thread, "").await;
    assert_eq!(after_the_end.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_number_of_an_earlier_turn_reads_the_whole_of_the_one_that_runs() {
    let server = Server::start(&[]).await;
    let (thread, response) = begin(&server, "ada").await;
    server.model.open("held");
    let first = numbered(&text(response).await);
    let last = first.last().unwrap().0;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::Gate("again".to_owned()),
        ScriptedStep::text("two"),
    ]));
    let body = json!({ "type": "threads.add_user_message", "params": { "thread_id": thread, "input": input("more") } });
    let request = Request::post("/chatkit?resumable=true")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-user-id", "ada")
        .body(Body::from(body.to_string()))
        .unwrap();
    drop(server.send(request).await);
    server.model.reached("again").await;
    let response = attach(&server, "ada", &thread, &format!("?after={last}")).await;
    server.model.open("again");
    let second = numbered(&text(response).await);
    assert!(second[0].0 > last);
    assert_eq!(second[0].1["item"]["content"][0]["text"], "more");
    assert_eq!(second.last().unwrap().1["item"]["content"][0]["text"], "two");
}

#[tokio::test]
async fn a_turn_without_its_client_is_stopped_by_word() {
    let server = Server::start(&[]).await;
    let (thread, response) = begin(&server, "ada").await;
    read_until(response, "\"delta\":\"Hel\"").await;
    let watching = attach(&server, "ada", &thread, "").await;
    let stopped = stop(&server, "ada", &thread).await;
    assert_eq!(json_body(stopped).await, json!({ "stopped": true }));
    assert!(text(watching).await.contains("Hel"), "those who watch it see the end of it");
    assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "hi"
    assistant_message "Hel"
    "#);
    let again = stop(&server, "ada", &thread).await;
    assert_eq!(json_body(again).await, json!({ "stopped": false }));
}

#[tokio::test]
async fn nobody_else_reads_or_stops_a_turn() {
    let server = Server::start(&[]).await;
    let (thread, response) = begin(&server, "ada").await;
    let foreign = attach(&server, "eve", &thread, "").await;
    let unknown = attach(&server, "eve", "thr_00000000", "").await;
    assert_eq!(
        (foreign.status(), unknown.status()),
        (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
    );
    assert_eq!(json_body(foreign).await["message"], json_body(unknown).await["message"]);
    assert_eq!(stop(&server, "eve", &thread).await.status(), StatusCode::NOT_FOUND);
    server.model.open("held");
    assert!(text(response).await.contains("Hello"), "it went on");
}

#[tokio::test]
async fn a_turn_that_ends_with_its_client_is_read_by_nobody_else() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::Gate("held".to_owned()),
        ScriptedStep::text("ok"),
    ]));
    let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
    let response = server.post("ada", &body).await;
    server.model.reached("held").await;
    let (_, page) = server.call("ada", "threads.list", json!({})).await;
    let thread = page["data"][0]["id"].as_str().unwrap();
    let refused = attach(&server, "ada", thread, "").await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert_snapshot!(json_body(refused).await["message"].as_str().unwrap(), @"the turn that runs on this thread can be read by its own client only: begin turns with `?resumable=true`");
    server.model.open("held");
    assert!(!text(response).await.contains("id: "), "numbers are for those who ask for them");
}

#[tokio::test]
async fn an_agent_that_may_not_be_cancelled_is_read_on_without_asking() {
    let prompt = "---\ntitles: false\nallow_cancel: false\n---\nTest.\n";
    let server = Server::start(&[("prompts/assistant.md", prompt)]).await;
    let (thread, response) = begin(&server, "ada").await;
    drop(response);
    let rest = attach(&server, "ada", &thread, "?after=0").await;
    server.model.open("held");
    assert!(text(rest).await.contains("\"text\":\"Hello\""));
}

#[tokio::test]
async fn what_is_no_number_and_no_method_is_refused() {
    let server = Server::start(&[]).await;
    let (thread, _response) = begin(&server, "ada").await;
    let refused = attach(&server, "ada", &thread, "?after=last").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_snapshot!(json_body(refused).await["message"].as_str().unwrap(), @"`after`: is not the number of an event: take it from a frame's `id`");
    let path = format!("/chatkit/threads/{thread}/stop");
    let wrong = server.send(get_request("ada", &path)).await;
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
    let unknown = format!("/chatkit/threads/{thread}/other");
    let unknown = server.send(get_request("ada", &unknown)).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    server.model.open("held");
}
