//! Attachments: from the browser to the store, to the model, back, and away.

mod messages;
mod uploads;

use std::{
    convert::Infallible,
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
use serde_json::{Value, json};

use crate::{
    chatkit::{AttachmentId, now},
    ops::{LinkPurpose, SignedLink},
    tests::harness::{Server, input, text},
    user::UserKey,
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

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
