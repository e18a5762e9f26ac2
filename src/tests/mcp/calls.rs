//! Calls: what reaches the server, and what the model is told.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    model::ScriptedResponse,
    tests::{
        harness::{chatkit_request, converse, input},
        mcp::{
            fake::{Fake, result, text, tool, usual},
            status, tools, with,
        },
    },
};

#[tokio::test]
async fn a_tool_of_a_server_is_called_like_any_other() {
    let fake = Fake::echo().await;
    let server = with(&fake.url, "").await;
    converse(&server, "user echo\n call notes__echo {\"text\": \"hi\"}\n text done").await;
    assert_eq!(tools(&server), ["notes__echo"]);
    assert_snapshot!(server.last_input(), @r#"
    user "echo"
    call notes__echo {"text":"hi"}
    output "{\"text\":\"hi\"}"
    "#);
    let status = status(&server);
    assert_eq!(status["state"], "ready");
    assert_eq!(status["protocol"], "2025-11-25");
    assert_eq!(status["tools"], json!(["notes__echo"]));
}

#[tokio::test]
async fn arguments_are_checked_before_they_are_sent() {
    let fake = Fake::echo().await;
    let server = with(&fake.url, "").await;
    converse(&server, "user echo\n call notes__echo {\"text\": 1}\n text done").await;
    assert_snapshot!(server.last_input(), @r#"
    user "echo"
    call notes__echo {"text":1}
    output "error: the arguments are not valid: /text: 1 is not of type \"string\""
    "#);
    assert_eq!(fake.count("tools/call"), 0);
}

#[tokio::test]
async fn errors_of_a_tool_and_of_the_protocol_are_news_for_the_model() {
    let tools = json!([tool("fails"), tool("breaks")]);
    let fake = Fake::with_tools(tools, |seen| async move {
        if seen.body["params"]["name"] == "fails" {
            let content = json!([{ "type": "text", "text": "no such city\u{1b}[0m" }]);
            return result(&seen.body, json!({ "content": content, "isError": true }));
        }
        let error = json!({ "code": -32602, "message": "no such argument" });
        axum::Json(json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": error }))
            .into_response()
    })
    .await;
    let server = with(&fake.url, "").await;
    converse(&server, "user go\n calls notes__fails {} & notes__breaks {}\n text sorry").await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call notes__fails {}
    call notes__breaks {}
    output "error: no such city[0m"
    output "error: no such argument"
    "#);
}

#[tokio::test]
async fn images_and_links_reach_the_model_in_their_form() {
    let fake = Fake::with_tools(json!([tool("look")]), |seen| async move {
        let content = json!([
            { "type": "text", "text": "see" },
            { "type": "image", "mimeType": "image/png", "data": "iVBORw0KGgoAAAAN" },
            { "type": "resource_link", "uri": "https://a.test/b", "name": "B" },
        ]);
        result(&seen.body, json!({ "content": content }))
    })
    .await;
    let server = with(&fake.url, "").await;
    converse(&server, "user look\n call notes__look {}\n text nice").await;
    assert_snapshot!(server.last_input(), @r#"
    user "look"
    call notes__look {}
    output "see\n[B: https://a.test/b] + [image]"
    "#);
}

#[tokio::test]
async fn progress_is_shown_to_whoever_waits() {
    let fake = Fake::with_tools(json!([tool("slow")]), |seen| async move {
        let token = seen.body["params"]["_meta"]["progressToken"].clone();
        let params =
            json!({ "progressToken": token, "progress": 1, "total": 2, "message": "half\u{202e}" });
        let step =
            json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
        let content = json!([{ "type": "text", "text": "done" }]);
        let answer =
            json!({ "jsonrpc": "2.0", "id": seen.body["id"], "result": { "content": content } });
        let events = [step, answer].map(|it| Ok::<_, std::io::Error>(format!("data: {it}\n\n")));
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(stream::iter(events)))
            .unwrap()
    })
    .await;
    let server = with(&fake.url, "").await;
    let shown = converse(&server, "user go\n call notes__slow {}\n text ok").await;
    assert!(shown.contains(r#"progress_update {"text":"half"}"#), "{shown}");
    assert!(server.last_input().ends_with(r#"output "done""#));
}

#[tokio::test]
async fn whoever_leaves_cancels_the_call_at_the_server() {
    let called = Arc::new(Notify::new());
    let cancelled = Arc::new(Notify::new());
    let fake = {
        let (called, cancelled) = (called.clone(), cancelled.clone());
        Fake::start(move |seen| {
            let (called, cancelled) = (called.clone(), cancelled.clone());
            async move {
                if seen.body["method"] == "notifications/cancelled" {
                    cancelled.notify_one();
                }
                let tools = json!([tool("hang")]);
                if let Some(response) = usual(&seen.body, &tools) {
                    return response;
                }
                called.notify_one();
                std::future::pending().await
            }
        })
        .await
    };
    let server = with(&fake.url, "").await;
    server.model.push(ScriptedResponse::call("notes__hang", json!({})));
    let body = json!({ "type": "threads.create", "params": { "input": input("go") } });
    let response = server.send(chatkit_request("ada", &body)).await;
    let mut stream = response.into_body().into_data_stream();
    stream.next().await.unwrap().unwrap();
    called.notified().await;
    drop(stream);
    cancelled.notified().await;
}

#[tokio::test]
async fn a_call_outlives_the_file_of_its_server() {
    let (called, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let fake = {
        let (called, released) = (called.clone(), released.clone());
        Fake::with_tools(json!([tool("wait")]), move |seen| {
            let (called, released) = (called.clone(), released.clone());
            async move {
                called.notify_one();
                released.notified().await;
                text(&seen.body, "finished")
            }
        })
        .await
    };
    let server = with(&fake.url, "").await;
    let removed = async {
        called.notified().await;
        server.remove("plugins/notes.mcp.toml").await;
        released.notify_one();
    };
    let script = "user go\n call notes__wait {}\n text ok";
    tokio::join!(converse(&server, script), removed);
    assert!(server.last_input().ends_with(r#"output "finished""#), "{}", server.last_input());
}

#[tokio::test]
async fn two_users_of_a_stateless_server_share_a_connection_and_keep_their_identities() {
    let fake = Fake::with_tools(json!([tool("whoami")]), |seen| async move {
        let user = seen.headers.get("x-user").map(|it| it.to_str().unwrap().to_owned());
        text(&seen.body, &user.unwrap_or_default())
    })
    .await;
    let server = with(&fake.url, "headers = { X-User = \"{{ user.id }}\" }").await;
    // Whoever comes first finds out that there are no sessions.
    converse(&server, "user hi\n call notes__whoami {}\n text ok").await;
    let context = |user: &str| {
        let user = crate::user::User::new("header", "", user);
        Arc::new(crate::context::RequestContext::of_user(user, &serde_json::Map::new()))
    };
    let generation = server.app.generation();
    let calls = (0..200).map(|index| {
        let user = ["ada", "bob"][index % 2];
        let (app, generation, request) = (&server.app, &generation, context(user));
        async move {
            let answer =
                crate::turn::call_tool(app, generation, "notes__whoami", json!({}), request).await;
            (user, answer.unwrap())
        }
    });
    let answers = stream::iter(calls).buffer_unordered(50).collect::<Vec<_>>().await;
    assert_eq!(answers.len(), 200);
    for (user, answer) in answers {
        assert_eq!(answer, Value::from(user));
    }
    let connections = status(&server)["connections"].clone();
    assert_eq!(connections, 1);
    assert_eq!(fake.count("initialize"), 1);
}
