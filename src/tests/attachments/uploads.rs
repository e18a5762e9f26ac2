//! How the bytes come and go.

use std::{convert::Infallible, fmt::Write, sync::atomic::Ordering};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use bytes::Bytes;
use futures::stream;
use insta::assert_snapshot;
use jiff::ToSpan;
use serde_json::json;

use crate::{
    chatkit::now,
    model::ScriptedResponse,
    ops::{LinkPurpose, open_attachment},
    tests::harness::{Server, chatkit_request, get_request, json_body, text},
};

use super::{
    PNG, begin, body, content_link, create, delete, endless, fetch, form, headers, path, post_form,
    put, read_link, ready, stored_files, try_begin,
};

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

#[tokio::test]
async fn the_operations_need_a_json_body() {
    let server = Server::start(&[]).await;
    let body = json!({ "type": "attachments.create", "params": { "name": "a", "size": 1 } });
    let response = server.send(chatkit_request("ada", &body)).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_snapshot!(json_body(response).await["message"], @r#""`params.mime_type` is missing""#);
}
