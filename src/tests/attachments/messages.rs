//! What becomes of them in a conversation.

use std::fmt::Write;

use axum::http::StatusCode;
use bytes::Bytes;
use insta::assert_snapshot;
use jiff::ToSpan;
use serde_json::json;

use crate::{
    chatkit::{ThreadItem, now},
    model::{InputContent, InputItem, ScriptedResponse},
    store::Record,
    tests::harness::{Server, get_request, input, json_body},
    user::UserKey,
};

use super::{
    PNG, begin, body, create, delete, fetch, headers, list, put, ready, settle, stored_files,
    try_begin,
};

#[tokio::test]
async fn a_text_is_uploaded_and_the_model_reads_it_now_and_later() {
    let server = Server::start(&[]).await;
    let created = create(&server, "ada", "n.txt", 5, "text/plain").await;
    let id = created["id"].as_str().unwrap();
    let mut shown = created.clone();
    shown["id"] = json!("atc_1");
    let url = created["upload_descriptor"]["url"].as_str().unwrap();
    assert!(
        url.starts_with(&format!("http://localhost/chatkit/attachments/{id}/upload?")),
        "{url}"
    );
    shown["upload_descriptor"]["url"] = json!("URL");
    assert_snapshot!(shown, @r#"{"type":"file","id":"atc_1","name":"n.txt","mime_type":"text/plain","upload_descriptor":{"url":"URL","method":"PUT","headers":{"content-type":"text/plain"}}}"#);
    assert_eq!(put(&server, url, "hello").await.status(), StatusCode::OK);

    server.model.push(ScriptedResponse::text("read"));
    let (thread, events) = begin(&server, "ada", "look", &[id]).await;
    let item = &events[1]["item"];
    let expected = json!([{
        "type": "file", "id": id, "name": "n.txt", "mime_type": "text/plain", "thread_id": thread,
    }]);
    assert_eq!(item["attachments"], expected);
    assert_snapshot!(server.last_input(), @r#"user "look + <file name=\"n.txt\">\nhello\n</file>""#);
    assert_eq!(list(&server, "ada", &thread).await[0]["attachments"], expected);

    server.model.push(ScriptedResponse::text("again"));
    server.say("ada", &thread, "and?").await;
    assert_snapshot!(server.last_input(), @r#"
    user "look + <file name=\"n.txt\">\nhello\n</file>"
    assistant "read"
    user "and?"
    "#);
}

#[tokio::test]
async fn an_image_is_seen_by_the_model_and_by_the_user() {
    let server = Server::start(&[]).await;
    let id = ready(&server, "ada", "p.png", "image/png", PNG).await;
    server.model.push(ScriptedResponse::text("a cat"));
    let (thread, events) = begin(&server, "ada", "", &[&id]).await;
    let InputItem::Message { content, .. } = &server.model.requests()[0].input[0] else {
        panic!("no message");
    };
    let url = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg==".to_owned();
    assert_eq!(content, &[InputContent::Image { url }]);

    let preview = events[1]["item"]["attachments"][0]["preview_url"].as_str().unwrap();
    let page = &list(&server, "ada", &thread).await[0]["attachments"][0]["preview_url"];
    let (_, whole) = server.call("ada", "threads.get_by_id", json!({ "thread_id": thread })).await;
    assert_eq!(page, preview);
    assert_eq!(whole["items"]["data"][0]["attachments"][0]["preview_url"], preview);
    let response = fetch(&server, preview).await;
    assert_snapshot!(headers(&response), @r"
    200 OK
    content-type: image/png
    content-disposition: inline; filename*=UTF-8''p%2Epng
    content-security-policy: sandbox; default-src 'none'
    x-content-type-options: nosniff
    cache-control: private, max-age=3600
    ");
    assert_eq!(body(response).await, PNG);

    // Links are for a time, so that none is kept.
    let owner = UserKey::new("header", "", "ada");
    let records = server.app.store.of(&owner).load_history(&thread.into(), 9).await.unwrap();
    let Record::Item(item @ ThreadItem::UserMessage(_)) = &records[0] else { panic!("no message") };
    assert!(!serde_json::to_string(item).unwrap().contains("url"));
}

#[tokio::test]
async fn attachments_go_with_their_thread() {
    let server = Server::start(&[]).await;
    let id = ready(&server, "ada", "n.txt", "text/plain", b"hello").await;
    let other = ready(&server, "ada", "o.txt", "text/plain", b"other").await;
    server.model.push(ScriptedResponse::text("read"));
    let (thread, _) = begin(&server, "ada", "look", &[&id]).await;
    assert_eq!(stored_files(&server), 2);
    let (status, _) = server.call("ada", "threads.delete", json!({ "thread_id": thread })).await;
    assert_eq!(status, StatusCode::OK);
    settle(&server).await;
    assert_eq!(stored_files(&server), 1);
    assert_eq!(delete(&server, "ada", &id).await.0, StatusCode::NOT_FOUND);
    assert_eq!(delete(&server, "ada", &other).await.0, StatusCode::OK);
    settle(&server).await;
    assert_eq!(stored_files(&server), 0);
}

#[tokio::test]
async fn one_that_was_deleted_leaves_its_name_in_its_message() {
    let server = Server::start(&[]).await;
    let id = ready(&server, "ada", "p.png", "image/png", PNG).await;
    server.model.push(ScriptedResponse::text("seen"));
    let (thread, events) = begin(&server, "ada", "look", &[&id]).await;
    let preview = events[1]["item"]["attachments"][0]["preview_url"].as_str().unwrap();
    assert_eq!(delete(&server, "ada", &id).await.0, StatusCode::OK);
    assert_eq!(fetch(&server, preview).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(list(&server, "ada", &thread).await[0]["attachments"][0]["name"], "p.png");
    server.model.push(ScriptedResponse::text("gone"));
    server.say("ada", &thread, "and now?").await;
    assert_snapshot!(server.last_input(), @r#"
    user "look + <file name=\"p.png\" type=\"image/png\" not_shown=\"deleted\" />"
    assistant "seen"
    user "and now?"
    "#);
}

#[tokio::test]
async fn what_no_message_uses_is_swept_after_its_time() {
    let server = Server::start(&[]).await;
    let store = &server.app.store;
    let used = ready(&server, "ada", "used.txt", "text/plain", b"used").await;
    server.model.push(ScriptedResponse::text("read"));
    begin(&server, "ada", "look", &[&used]).await;
    let unused = ready(&server, "ada", "unused.txt", "text/plain", b"unused").await;
    create(&server, "ada", "waiting.txt", 1, "text/plain").await;
    let mut orphan = store.blobs().write(&store.new_blob_key().await.unwrap()).await.unwrap();
    orphan.write(Bytes::from_static(b"orphan")).await.unwrap();
    orphan.finish().await.unwrap();
    let mut foreign = store.blobs().write("another/installation").await.unwrap();
    foreign.write(Bytes::from_static(b"foreign")).await.unwrap();
    foreign.finish().await.unwrap();
    assert_eq!(stored_files(&server), 4);

    store.sweep_attachments(now() - 1.hour()).await.unwrap();
    assert_eq!(stored_files(&server), 4);
    store.sweep_attachments(now() + 1.hour()).await.unwrap();
    // What is used, and what is not ours.
    assert_eq!(stored_files(&server), 2);
    assert_eq!(delete(&server, "ada", &unused).await.0, StatusCode::NOT_FOUND);
    assert_eq!(delete(&server, "ada", &used).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_message_with_attachments_that_cannot_be_used_is_refused_whole() {
    let prompt = "---\ntitles: false\nattachments: { max_count: 2, accept: ['image/*', 'text/plain'], max_size: 9 }\n---\n";
    let open = "---\nwhen: { tool_choice: [open] }\n---\n";
    let files = [("prompts/assistant.md", prompt), ("prompts/open.md", open)];
    let server = Server::start(&files).await;
    let small = ready(&server, "ada", "a.txt", "text/plain", b"a").await;
    let second = ready(&server, "ada", "b.txt", "text/plain", b"b").await;
    let third = ready(&server, "ada", "c.txt", "text/plain", b"c").await;
    let large = ready(&server, "ada", "large.txt", "text/plain", b"0123456789").await;
    let html = ready(&server, "ada", "a.html", "text/html", b"<p>").await;
    let used = ready(&server, "ada", "u.txt", "text/plain", b"u").await;
    server.model.push(ScriptedResponse::text("read"));
    let (thread, _) = begin(&server, "ada", "look", &[&used]).await;
    let waiting = create(&server, "ada", "w.txt", 1, "text/plain").await;
    let waiting = waiting["id"].as_str().unwrap();

    let before = server.items("ada", &thread).await;
    let mut texts = String::new();
    for ids in [
        &[waiting][..],
        &[&small, &small],
        &[&small, &used],
        &[&small, &second, &third],
        &[&large],
        &[&html],
        &[&small, "atc_0"],
    ] {
        let (status, message) = try_begin(&server, "ada", ids).await;
        let mut input = input("hi");
        input["attachments"] = json!(ids);
        let params = json!({ "thread_id": thread, "input": input });
        let (added_status, added) = server.call("ada", "threads.add_user_message", params).await;
        assert_eq!((added_status, &added["message"]), (status, &message), "{ids:?}");
        let message = message.as_str().unwrap();
        let message = ids.iter().fold(message.to_owned(), |it, id| it.replace(id, "ID"));
        writeln!(texts, "{} {message}", status.as_u16()).unwrap();
    }
    assert_snapshot!(texts, @r"
    400 `params.input.attachments`: `ID` is not uploaded yet: send the message after its upload
    400 `params.input.attachments`: `ID` is there twice
    409 `params.input.attachments`: `ID` belongs to another message: upload the file again
    400 `params.input.attachments`: a message has at most 2 attachments, and this one has 3
    413 the file is too large: at most 9 bytes are taken
    400 `params.input.attachments`: files of the type `text/html` are not taken, only `image/*`, `text/plain`
    404 attachment not found
    ");
    assert_eq!(server.items("ada", &thread).await, before);
    let (_, threads) = server.call("ada", "threads.list", json!({})).await;
    assert_eq!(threads["data"].as_array().unwrap().len(), 1);
    // They are free for a message that may use them.
    server.model.push(ScriptedResponse::text("read"));
    begin(&server, "ada", "look", &[&second, &small]).await;
    assert_snapshot!(server.last_input(), @r#"user "look + <file name=\"b.txt\">\nb\n</file> + <file name=\"a.txt\">\na\n</file>""#);
}

#[tokio::test]
async fn an_agent_that_takes_none_says_so_and_options_tell_the_page() {
    let options = async |front: &str| {
        let prompt = format!("---\ntitles: false\n{front}\n---\n");
        let server = Server::start(&[("prompts/assistant.md", &prompt)]).await;
        let params = json!({ "name": "a", "size": 1, "mime_type": "image/png" });
        let (status, _) = server.call("ada", "attachments.create", params).await;
        let options = server.send(get_request("ada", "/chatkit/options")).await;
        format!("{} {}", status.as_u16(), json_body(options).await["attachments"])
    };
    assert_snapshot!(options("attachments: false").await, @r#"400 {"enabled":false}"#);
    assert_snapshot!(options("attachments: true").await, @r#"200 {"enabled":true,"accept":["image/*","text/*","application/pdf"],"max_size":20971520,"max_count":10}"#);
    assert_snapshot!(options("attachments: { accept: ['image/png', 'text/*', 'video/mp4'], max_size: 99, max_count: 1 }").await, @r#"200 {"enabled":true,"accept":["image/png","text/*"],"max_size":99,"max_count":1}"#);
}

#[tokio::test]
async fn a_plugin_says_what_the_model_is_shown_and_reads_the_bytes() {
    let hook = r#"
        on("attachment", |event, ctx| {
            if event.mime_type != "text/csv" { return; }
            let lines = event.text().split("\n");
            `The table ${event.name} has ${lines.len} lines and begins: ` + join(lines.extract(0, 2), "; ")
        });
        on("attachment", |event, ctx| {
            if event.name == "t.csv" { throw "the first answer wins"; }
        });
        on("attachment", |event, ctx| {
            if event.name == "a.bin" { [#{ type: "input_text", text: `${event.size} bytes from ${event.bytes()[0]}, said "${event.item.content[0].text}"` }, #{ type: "input_image", image_url: "https://example.org/x.png" }] }
        });
        tool(#{ name: "look", description: "Looks.", run: |args, ctx| {
            let all = ctx.item.attachments;
            #{ all: all, text: all[0].text(), bytes: all[1].bytes().len(), binary: all[1].text() }
        } });
    "#;
    let config = "[limits.attachments]\ntypes = ['*/*']";
    let files = [("plugins/table.rhai", hook), ("kitfox.toml", config)];
    let server = Server::start(&files).await;
    let csv = ready(&server, "ada", "t.csv", "text/csv", b"a;b\n1;2").await;
    let binary = ready(&server, "ada", "a.bin", "application/x-thing", b"\xff\0").await;
    let other = ready(&server, "ada", "o.bin", "application/x-thing", b"\xff\0").await;
    server.model.push(ScriptedResponse::call("look", json!({})));
    server.model.push(ScriptedResponse::text("seen"));
    begin(&server, "ada", "look", &[&csv, &binary, &other]).await;
    let shown = server.last_input();
    let shown = [csv, binary, other].iter().fold(shown, |it, id| it.replace(id, "ID"));
    assert_snapshot!(shown, @r#"
    user "look + The table t.csv has 2 lines and begins: a;b; 1;2 + 2 bytes from 255, said \"look\" + [image] + <file name=\"o.bin\" type=\"application/x-thing\" not_shown=\"files of this type cannot be read here\" />"
    call look {}
    output "{\"all\":[{\"id\":\"ID\",\"name\":\"t.csv\",\"mime_type\":\"text/csv\",\"size\":7},{\"id\":\"ID\",\"name\":\"a.bin\",\"mime_type\":\"application/x-thing\",\"size\":2},{\"id\":\"ID\",\"name\":\"o.bin\",\"mime_type\":\"application/x-thing\",\"size\":2}],\"binary\":null,\"bytes\":2,\"text\":\"a;b\\n1;2\"}"
    "#);
}

#[tokio::test]
async fn a_request_hook_may_move_files_that_no_script_could_hold() {
    let hook = r#"on("request", |event, ctx| #{ input: event.input });"#;
    let limits = "[limits.plugin]\nstring_bytes = 20_000";
    let server = Server::start(&[("plugins/hook.rhai", hook), ("kitfox.toml", limits)]).await;
    let mut image = PNG.to_vec();
    image.resize(50_000, 0);
    let id = ready(&server, "ada", "p.png", "image/png", &image).await;
    server.model.push(ScriptedResponse::text("seen"));
    begin(&server, "ada", "look", &[&id]).await;
    let InputItem::Message { content, .. } = &server.model.requests()[0].input[0] else {
        panic!("no message");
    };
    let InputContent::Image { url } = &content[1] else { panic!("{content:?}") };
    assert!(url.len() > 50_000 && url.starts_with("data:image/png;base64,iVBOR"), "{}", url.len());
}

#[tokio::test]
async fn what_is_too_much_for_one_request_is_told_by_its_name() {
    let server = Server::start(&[]).await;
    let large = |head: &[u8]| {
        let mut bytes = head.to_vec();
        bytes.resize(13 << 20, b'x');
        bytes
    };
    let old = ready(&server, "ada", "old.png", "image/png", &large(PNG)).await;
    let new = ready(&server, "ada", "new.png", "image/png", &large(PNG)).await;
    let long = ready(&server, "ada", "long.txt", "text/plain", &large(b"begin ")).await;
    server.model.push(ScriptedResponse::text("one"));
    let (thread, _) = begin(&server, "ada", "old", &[&old]).await;
    assert_snapshot!(server.last_input(), @r#"user "old + [image]""#);
    server.model.push(ScriptedResponse::text("two"));
    let mut input = input("new");
    input["attachments"] = json!([new, long]);
    let params = json!({ "thread_id": thread, "input": input });
    server.stream("ada", "threads.add_user_message", params).await;
    let shown = server.last_input().replace(&"x".repeat((256 << 10) - 6), "…");
    assert_snapshot!(shown, @r#"
    user "old + <file name=\"old.png\" type=\"image/png\" not_shown=\"left out, because the files of this conversation are too large together\" />"
    assistant "one"
    user "new + [image] + <file name=\"long.txt\" shown=\"the first 262144 of 13631488 bytes\">\nbegin …\n</file>"
    "#);
}
