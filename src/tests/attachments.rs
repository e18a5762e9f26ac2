//! Attachments: from the browser to the store, to the model, back, and away.

use std::{
    convert::Infallible,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use insta::assert_snapshot;
use jiff::ToSpan;
use serde_json::{Value, json};

use crate::{
    chatkit::{AttachmentId, ThreadItem, now},
    model::{InputContent, InputItem, ScriptedResponse},
    ops::{LinkPurpose, SignedLink, open_attachment},
    store::Record,
    tests::harness::{Server, chatkit_request, get_request, input, json_body, text},
    user::UserKey,
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

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
async fn a_direct_upload_is_one_request() {
    let server = Server::start(&[]).await;
    let response =
        post_form(&server, "/chatkit/attachments", "file", "p.png", "image/png", PNG).await;
    assert_eq!(response.status(), StatusCode::OK);
    let attachment = json_body(response).await;
    assert_eq!(attachment["type"], "image");
    assert!(attachment.get("upload_descriptor").is_none(), "{attachment}");
    let preview = attachment["preview_url"].as_str().unwrap();
    assert_eq!(body(fetch(&server, preview).await).await, PNG);
    server.model.push(ScriptedResponse::text("seen"));
    begin(&server, "ada", "look", &[attachment["id"].as_str().unwrap()]).await;
    assert_snapshot!(server.last_input(), @r#"user "look + [image]""#);
}

#[tokio::test]
async fn an_upload_may_be_a_form() {
    let server = Server::start(&[]).await;
    let created = create(&server, "ada", "n.txt", 5, "text/plain").await;
    let url = created["upload_descriptor"]["url"].as_str().unwrap();
    let response = post_form(&server, path(url), "other", "n.txt", "text/plain", b"hello").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let response = post_form(&server, path(url), "file", "n.txt", "text/plain", b"hello").await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn another_users_attachment_is_as_unknown_as_one_that_never_was() {
    let server = Server::start(&[]).await;
    let theirs = ready(&server, "ada", "n.txt", "text/plain", b"secret").await;
    for id in [theirs.as_str(), "atc_0"] {
        let (status, deleted) = delete(&server, "eve", id).await;
        let (used_status, used) = try_begin(&server, "eve", &[id]).await;
        assert_eq!((status, used_status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND), "{id}");
        assert_eq!((deleted, used), (json!("attachment not found"), json!("attachment not found")));
    }
    let (_, threads) = server.call("eve", "threads.list", json!({})).await;
    assert_eq!(threads, json!({ "data": [], "has_more": false }));
    server.model.push(ScriptedResponse::text("mine"));
    begin(&server, "ada", "look", &[&theirs]).await;
}

#[tokio::test]
async fn a_link_is_good_for_what_it_was_made_for_and_nothing_else() {
    let server = Server::start(&[]).await;
    let waiting = create(&server, "ada", "w.png", 3, "image/png").await;
    let upload = waiting["upload_descriptor"]["url"].as_str().unwrap();
    let mine = create(&server, "eve", "e.png", 3, "image/png").await;
    let id = ready(&server, "ada", "p.png", "image/png", PNG).await;
    server.model.push(ScriptedResponse::text("seen"));
    let (_, events) = begin(&server, "ada", "look", &[&id]).await;
    let preview = events[1]["item"]["attachments"][0]["preview_url"].as_str().unwrap();

    let (waiting_id, my_id) = (waiting["id"].as_str().unwrap(), mine["id"].as_str().unwrap());
    let my_upload = mine["upload_descriptor"]["url"].as_str().unwrap();
    let uploads = [
        my_upload.replace(my_id, waiting_id),
        upload.replace("expires=", "expires=9"),
        upload.replace("signature=", "signature=x"),
        upload.split_once("&signature").unwrap().0.to_owned(),
        upload.split_once('?').unwrap().0.to_owned(),
        upload.replace(waiting_id, "atc_0"),
        preview.replace("/content?", "/upload?"),
    ];
    for url in uploads {
        let response = put(&server, &url, "abc").await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{url}");
        assert_eq!(json_body(response).await["message"], "attachment not found");
    }
    let contents = [
        preview.replace("expires=", "expires=9"),
        preview.replace("signature=", "signature=x"),
        preview.replace(&id, waiting_id),
        preview.replace(&id, "atc_0"),
        upload.replace("/upload?", "/content?"),
    ];
    for url in contents {
        assert_eq!(fetch(&server, &url).await.status(), StatusCode::NOT_FOUND, "{url}");
    }

    let link = read_link(preview, LinkPurpose::Content);
    assert!(open_attachment(&server.app, &link, now() + 11.hours()).await.is_ok());
    let late = open_attachment(&server.app, &link, now() + 14.hours()).await.map(|_| ());
    assert_eq!(
        late.unwrap_err().to_string(),
        "the link has expired: load the thread again for a new one"
    );
}

#[tokio::test]
async fn what_is_no_file_to_take_is_refused_and_says_why() {
    let files = [("kitfox.toml", "[limits.attachments]\nmax_bytes = 1000")];
    let server = Server::start(&files).await;
    let mut texts = String::new();
    for (name, size, mime_type) in [
        (json!("a"), json!(1001), json!("text/plain")),
        (json!("a"), json!(10_737_418_240_u64), json!("text/plain")),
        (json!("a"), json!(0), json!("text/plain")),
        (json!("a"), json!(-1), json!("text/plain")),
        (json!("a"), json!(1e30), json!("text/plain")),
        (json!("a"), json!("1"), json!("text/plain")),
        (json!("a"), json!(1), json!("application/x-msdownload")),
        (json!("a"), json!(1), json!("text")),
        (json!("a"), json!(1), json!("text/\r\nhtml")),
        (json!("a"), json!(1), json!("")),
        (json!(7), json!(1), json!("text/plain")),
    ] {
        let params = json!({ "name": name, "size": size, "mime_type": mime_type });
        let (status, body) = server.call("ada", "attachments.create", params).await;
        let message = body["message"].as_str().unwrap_or_default();
        writeln!(texts, "{} {message}", status.as_u16()).unwrap();
    }
    assert_snapshot!(texts, @r#"
    413 the file is too large: at most 1000 bytes are taken
    413 the file is too large: at most 1000 bytes are taken
    400 `params.size`: the file is empty
    400 `params.size`: -1 is less than 0
    400 `params.size` is floating point `1e+30`, not an integer
    400 `params.size` is string "1", not an integer
    400 `params.mime_type`: files of the type `application/x-msdownload` are not taken, only `image/*`, `text/*`, `application/pdf`
    400 `params.mime_type`: is no type such as `image/png`
    400 `params.mime_type`: is no type such as `image/png`
    400 `params.mime_type`: files of the type `application/octet-stream` are not taken, only `image/*`, `text/*`, `application/pdf`
    400 `params.name` is integer `7`, not a string
    "#);
}

#[tokio::test]
async fn a_name_is_cleaned_of_what_is_not_seen() {
    let server = Server::start(&[]).await;
    for (name, expected) in [
        ("../../etc/passwd", "passwd"),
        (r"C:\boot.ini", "boot.ini"),
        ("a\0b.txt", "ab.txt"),
        ("cv\u{202e}fdp.exe", "cvfdp.exe"),
        ("\r\nx: y", "x: y"),
        ("", "file"),
    ] {
        let shown = create(&server, "ada", name, 1, "text/plain").await;
        assert_eq!(shown["name"], expected, "{name:?}");
    }
    let id = ready(&server, "ada", "a\"\r\nx: \u{202e}ž.html", "text/html", b"<p>").await;
    assert!(!id.is_empty());
}

#[tokio::test]
async fn an_endless_upload_is_cut_at_its_limit() {
    const LIMIT: usize = 1_000_000;
    let files = [("kitfox.toml", "[limits.attachments]\nmax_bytes = 1_000_000")];
    let server = Server::start(&files).await;
    let created = create(&server, "ada", "n.txt", 1_000_000, "text/plain").await;
    let upload = path(created["upload_descriptor"]["url"].as_str().unwrap()).to_owned();
    let form = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"n.txt\"\r\n\
         content-type: text/plain\r\n\r\n";
    let field = "--x\r\ncontent-disposition: form-data; name=\"other\"\r\n\r\n";
    let head = "--x\r\ncontent-disposition: form-data; x=";
    let requests = [
        (Request::put(&upload), ""),
        (Request::post(&upload), form),
        (Request::post(&upload), field),
        (Request::post(&upload), head),
        (Request::post("/chatkit/attachments"), form),
        (Request::post("/chatkit/attachments"), field),
    ];
    for (request, begin) in requests {
        let (zeros, sent) = endless(begin);
        let request = request
            .header("host", "localhost")
            .header("x-user-id", "ada")
            .header("content-type", "multipart/form-data; boundary=x");
        let response = server.send(request.body(zeros).unwrap()).await;
        let status = response.status();
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{begin}: {}", text(response).await);
        // What is sent on was read, and no more: a form may hold a MiB beside its file.
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent <= LIMIT + (2 << 20), "{sent} after {begin}");
        assert_eq!(stored_files(&server), 0, "{begin}");
    }
    // It may be tried again.
    let whole = vec![b'a'; LIMIT];
    assert_eq!(put(&server, &upload, whole).await.status(), StatusCode::OK);
    assert_eq!(stored_files(&server), 1);
}

#[tokio::test]
async fn an_upload_that_is_not_what_was_announced_leaves_nothing() {
    let server = Server::start(&[]).await;
    let created = create(&server, "ada", "n.txt", 5, "text/plain").await;
    let url = created["upload_descriptor"]["url"].as_str().unwrap();
    let mut texts = String::new();
    let broken = stream::iter([Ok(Bytes::from_static(b"hel")), Err("the line was cut")]);
    let chunks = |text: &'static str| {
        Body::from_stream(stream::iter([Ok::<_, Infallible>(Bytes::from_static(text.as_bytes()))]))
    };
    for sent in [
        chunks("hell"),
        chunks("hello!"),
        Body::from("hello!"),
        Body::empty(),
        Body::from_stream(broken),
    ] {
        let response = put(&server, url, sent).await;
        let status = response.status().as_u16();
        let message = json_body(response).await["message"].as_str().unwrap().to_owned();
        writeln!(texts, "{status} {message}").unwrap();
        assert_eq!(stored_files(&server), 0);
    }
    assert_snapshot!(texts, @r"
    400 the upload ended after 4 of the 5 bytes that were announced
    413 the upload is longer than the 5 bytes that were announced
    413 the upload is longer than the 5 bytes that were announced
    400 the upload ended after 0 of the 5 bytes that were announced
    400 the upload broke off
    ");
    assert_eq!(put(&server, url, "hello").await.status(), StatusCode::OK);
    let second = put(&server, url, "HELLO").await;
    assert_eq!(second.status(), StatusCode::CONFLICT);
    assert_eq!(stored_files(&server), 1);
}

#[tokio::test]
async fn what_could_run_in_a_browser_is_only_ever_a_download() {
    let config = [("kitfox.toml", "[limits.attachments]\ntypes = ['*/*']")];
    let server = Server::start(&config).await;
    let script = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
    let mut shown = String::new();
    for (name, mime_type) in [
        ("a.svg", "image/svg+xml"),
        ("a.html", "text/html"),
        ("a.png", "image/png"),
        ("a.js", "application/javascript"),
        ("a.pdf", "application/pdf"),
        ("a", ""),
    ] {
        let id = ready(&server, "ada", name, mime_type, script).await;
        let url = content_link(&server, "ada", &id).await;
        let response = fetch(&server, &url).await;
        writeln!(shown, "{name}\n{}", headers(&response)).unwrap();
        assert_eq!(body(response).await, script[..]);
    }
    assert_snapshot!(shown, @r"
    a.svg
    200 OK
    content-type: text/plain; charset=utf-8
    content-disposition: attachment; filename*=UTF-8''a%2Esvg
    content-security-policy: sandbox; default-src 'none'
    x-content-type-options: nosniff
    cache-control: private, max-age=3600
    a.html
    200 OK
    content-type: text/plain; charset=utf-8
    content-disposition: attachment; filename*=UTF-8''a%2Ehtml
    content-security-policy: sandbox; default-src 'none'
    x-content-type-options: nosniff
    cache-control: private, max-age=3600
    a.png
    200 OK
    content-type: application/octet-stream
    content-disposition: attachment; filename*=UTF-8''a%2Epng
    content-security-policy: sandbox; default-src 'none'
    x-content-type-options: nosniff
    cache-control: private, max-age=3600
    a.js
    200 OK
    content-type: text/plain; charset=utf-8
    content-disposition: attachment; filename*=UTF-8''a%2Ejs
    content-security-policy: sandbox; default-src 'none'
    x-content-type-options: nosniff
    cache-control: private, max-age=3600
    a.pdf
    200 OK
    content-type: application/octet-stream
    content-disposition: attachment; filename*=UTF-8''a%2Epdf
    content-security-policy: sandbox; default-src 'none'
    x-content-type-options: nosniff
    cache-control: private, max-age=3600
    a
    200 OK
    content-type: application/octet-stream
    content-disposition: attachment; filename*=UTF-8''a
    content-security-policy: sandbox; default-src 'none'
    x-content-type-options: nosniff
    cache-control: private, max-age=3600
    ");
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

#[tokio::test]
async fn a_place_that_cannot_be_used_says_so_and_the_chat_goes_on() {
    let server = Server::start(&[("kitfox.toml", "[store]\nattachments = 'ftp://a/b'")]).await;
    let ready = server.send(get_request("ada", "/readyz")).await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_snapshot!(json_body(ready).await["reasons"][0], @r#""`ftp:` is no place for attachments: use `file://attachments`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX` as `attachments` in `[store]`""#);
    server.model.push(ScriptedResponse::text("hello"));
    server.create("ada", "hi").await;
    let params = json!({ "name": "a.txt", "size": 1, "mime_type": "text/plain" });
    let (status, _) = server.call("ada", "attachments.create", params).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let options = server.send(get_request("ada", "/chatkit/options")).await;
    assert_eq!(json_body(options).await["attachments"], json!({ "enabled": false }));
}

#[tokio::test]
async fn links_lead_to_the_public_url_where_one_is_set() {
    let config = "[server]\npublic_url = 'https://kitfox.example/app/'";
    let server = Server::start(&[("kitfox.toml", config)]).await;
    let created = create(&server, "ada", "a.txt", 1, "text/plain").await;
    let url = created["upload_descriptor"]["url"].as_str().unwrap();
    assert!(url.starts_with("https://kitfox.example/app/chatkit/attachments/atc_"), "{url}");
}

#[tokio::test]
async fn a_foreign_page_may_not_upload() {
    let server = Server::start(&[]).await;
    let mut request = form("/chatkit/attachments", "file", "a.txt", "text/plain", b"a");
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(server.send(request).await.status(), StatusCode::FORBIDDEN);
    let mut request = form("/chatkit/attachments", "file", "a.txt", "text/plain", b"a");
    request.headers_mut().remove("x-user-id");
    assert_eq!(server.send(request).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(stored_files(&server), 0);
}

// --- what the tests do

async fn create(server: &Server, user: &str, name: &str, size: usize, mime_type: &str) -> Value {
    let params = json!({ "name": name, "size": size, "mime_type": mime_type });
    let (status, attachment) = server.call(user, "attachments.create", params).await;
    assert_eq!(status, StatusCode::OK, "{attachment}");
    attachment
}

async fn put(server: &Server, url: &str, body: impl Into<Body>) -> Response<Body> {
    let request = Request::put(path(url)).header("host", "localhost");
    server.send(request.body(body.into()).unwrap()).await
}

/// An attachment that a message may use.
async fn ready(server: &Server, user: &str, name: &str, mime_type: &str, bytes: &[u8]) -> String {
    let created = create(server, user, name, bytes.len(), mime_type).await;
    let url = created["upload_descriptor"]["url"].as_str().unwrap();
    let response = put(server, url, bytes.to_vec()).await;
    assert_eq!(response.status(), StatusCode::OK, "{}", text(response).await);
    created["id"].as_str().unwrap().to_owned()
}

async fn begin(server: &Server, user: &str, text: &str, ids: &[&str]) -> (String, Vec<Value>) {
    let mut input = input(text);
    input["attachments"] = json!(ids);
    let events = server.stream(user, "threads.create", json!({ "input": input })).await;
    (events[0]["thread"]["id"].as_str().unwrap().to_owned(), events)
}

/// What a message is answered that is refused.
async fn try_begin(server: &Server, user: &str, ids: &[&str]) -> (StatusCode, Value) {
    let mut input = input("hi");
    input["attachments"] = json!(ids);
    let (status, body) = server.call(user, "threads.create", json!({ "input": input })).await;
    (status, body["message"].clone())
}

async fn delete(server: &Server, user: &str, id: &str) -> (StatusCode, Value) {
    let (status, body) =
        server.call(user, "attachments.delete", json!({ "attachment_id": id })).await;
    (status, body["message"].clone())
}

async fn list(server: &Server, user: &str, thread: &str) -> Vec<Value> {
    let params = json!({ "thread_id": thread, "order": "asc" });
    let (_, page) = server.call(user, "items.list", params).await;
    page["data"].as_array().unwrap().clone()
}

fn form(path: &str, field: &str, name: &str, mime_type: &str, bytes: &[u8]) -> Request<Body> {
    let mut body = format!(
        "--b\r\ncontent-disposition: form-data; name=\"note\"\r\n\r\nx\r\n--b\r\ncontent-disposition: \
         form-data; name=\"{field}\"; filename=\"{name}\"\r\ncontent-type: {mime_type}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--b--\r\n");
    Request::post(path)
        .header("host", "localhost")
        .header("x-user-id", "ada")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(Body::from(body))
        .unwrap()
}

async fn post_form(
    server: &Server,
    path: &str,
    field: &str,
    name: &str,
    mime_type: &str,
    bytes: &[u8],
) -> Response<Body> {
    server.send(form(path, field, name, mime_type, bytes)).await
}

/// Without a login, as an `<img>` does.
async fn fetch(server: &Server, url: &str) -> Response<Body> {
    let request = Request::get(path(url)).header("host", "localhost");
    server.send(request.body(Body::empty()).unwrap()).await
}

async fn body(response: Response<Body>) -> Bytes {
    axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap()
}

fn headers(response: &Response<Body>) -> String {
    let names = [
        "content-type",
        "content-disposition",
        "content-security-policy",
        "x-content-type-options",
        "cache-control",
    ];
    let value = |name: &str| response.headers().get(name).map_or("none", |it| it.to_str().unwrap());
    let lines: Vec<_> = names.iter().map(|name| format!("{name}: {}", value(name))).collect();
    format!("{}\n{}", response.status(), lines.join("\n"))
}

/// The path and query of a link.
fn path(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/').unwrap()..],
        None => url,
    }
}

fn read_link(url: &str, purpose: LinkPurpose) -> SignedLink {
    let (path, query) = url.split_once('?').unwrap();
    let (expires, signature) = query.split_once('&').unwrap();
    SignedLink {
        id: AttachmentId::from(path.rsplit('/').nth(1).unwrap()),
        purpose,
        expires: expires.trim_start_matches("expires=").parse().unwrap(),
        signature: signature.trim_start_matches("signature=").to_owned(),
    }
}

/// A link to what only images have one to.
async fn content_link(server: &Server, user: &str, id: &str) -> String {
    let links = crate::ops::Links { base: "http://localhost/chatkit".to_owned() };
    let secret = server.app.store.attachment_secret().await.unwrap();
    let owner = UserKey::new("header", "", user);
    crate::ops::Signer::new(&links, secret, &owner, now()).url(&id.into(), LinkPurpose::Content)
}

/// A body that never ends, and how much of it was taken.
fn endless(begin: &'static str) -> (Body, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let zeros = Bytes::from(vec![0; 64 << 10]);
    let zeros = stream::repeat_with(move || {
        counter.fetch_add(zeros.len(), Ordering::Relaxed);
        Ok::<_, Infallible>(zeros.clone())
    });
    let begin = stream::iter([Ok(Bytes::from_static(begin.as_bytes()))]);
    (Body::from_stream(begin.chain(zeros)), sent)
}

/// Waits for what is done beside the answers.
async fn settle(server: &Server) {
    server.app.tasks.close();
    server.app.tasks.wait().await;
    server.app.tasks.reopen();
}

/// All files in the place of attachments, unfinished ones too.
fn stored_files(server: &Server) -> usize {
    let mut folders = vec![server.folder.path().join("attachments")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files += 1 }
        }
    }
    files
}

#[tokio::test]
async fn the_operations_need_a_json_body() {
    let server = Server::start(&[]).await;
    let body = json!({ "type": "attachments.create", "params": { "name": "a", "size": 1 } });
    let response = server.send(chatkit_request("ada", &body)).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_snapshot!(json_body(response).await["message"], @r#""`params.mime_type` is missing""#);
}
