use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use futures::StreamExt;
use serde_json::json;

use crate::{model::ScriptedResponse, tests::harness::text};

use super::scene::{MODES, Person, SECRET, STRANGERS, Scene, Things};

/// The paths that the server has of its own, as they are written there.
fn paths() -> Vec<&'static str> {
    let source = include_str!("../../server/mod.rs");
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let routes = source.split(".route(\"").skip(1);
    routes.map(|it| it.split('"').next().unwrap()).collect()
}

/// Those that kitfox.toml sets, and what lies below them.
const CONFIGURED: &[&str] = &[
    "/chatkit/options",
    "/chatkit/attachments",
    "/chatkit/attachments/{id}/content",
    "/chatkit/attachments/{id}/upload",
    "/kept",
];

/// What a stranger gets at a path, with what is Ada's: nothing of it.
async fn attack(scene: &Scene, things: &Things, person: Person, path: &str) {
    let place = format!("{} {person:?} {path}", scene.mode);
    let is_known = person != Person::Nobody || scene.mode == "session";
    let check = async |method: &str, path: &str, body: &str, expected: StatusCode| {
        let (status, answer) = scene.answer(person, method, path, body).await;
        assert!(!answer.contains(SECRET), "{place}: {answer}");
        let expected = if is_known { expected } else { StatusCode::UNAUTHORIZED };
        assert_eq!(status, expected, "{place}: {method} {path} {answer}");
        answer
    };
    match path {
        // For everyone, and nobody's.
        "/" | "/healthz" | "/readyz" | "/oauth/client.json" => {
            let (status, answer) = scene.answer(person, "GET", path, "").await;
            assert_eq!(status, StatusCode::OK, "{place}");
            assert!(!answer.contains(SECRET), "{place}: {answer}");
        }
        // Where tokens are checked, it says whose they are.
        "/.well-known/oauth-protected-resource" | "/.well-known/oauth-protected-resource/mcp" => {
            let (status, answer) = scene.answer(person, "GET", path, "").await;
            assert!([StatusCode::OK, StatusCode::NOT_FOUND].contains(&status), "{place}");
            assert!(!answer.contains(SECRET), "{place}: {answer}");
        }
        "/api/generation" | "/api/tools" | "/api/mcp" | "/metrics"
            if !scene.has_organisations() =>
        {
            let (status, answer) = scene.answer(person, "GET", path, "").await;
            assert_eq!(status, StatusCode::OK, "{place}");
            let without_source = answer.replace("SECRET-of-ada?", "");
            assert!(!without_source.contains(&things.thread), "{place}");
        }
        "/api/generation" | "/api/tools" | "/api/mcp" | "/metrics" => {
            let expected =
                if person == Person::Bob { StatusCode::OK } else { StatusCode::FORBIDDEN };
            check("GET", path, "", expected).await;
        }
        "/api/events" => watch(scene, person, &place).await,
        "/api/credentials" => {
            if person == Person::Nobody {
                check("GET", path, "", StatusCode::OK).await;
            } else {
                let answer = check("GET", path, "", StatusCode::OK).await;
                assert!(answer.contains("\"since\":null"), "{place}: {answer}");
            }
        }
        "/api/credentials/{name}" => {
            // Whoever has no session yet gets none for it.
            let expected = match person {
                Person::Nobody => StatusCode::UNAUTHORIZED,
                _ => StatusCode::NOT_FOUND,
            };
            check("DELETE", "/api/credentials/pin", "", expected).await;
        }
        "/credentials" => {
            let answer = check("GET", path, "", StatusCode::OK).await;
            assert!(!answer.contains("entered on"), "{place}: {answer}");
            let request = scene
                .request(person, "POST", path)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Body::from("name=pin&do=delete"));
            let status = scene.server.send(request.unwrap()).await.status();
            let expected = match person {
                Person::Nobody => StatusCode::UNAUTHORIZED,
                _ => StatusCode::NOT_FOUND,
            };
            assert_eq!(status, expected, "{place}");
        }
        "/oauth/start/{key}" => {
            check("GET", "/oauth/start/mcp:x?for=0123456789abcdef", "", StatusCode::FORBIDDEN)
                .await;
        }
        "/oauth/callback" => {
            check("GET", "/oauth/callback?state=x&code=y", "", StatusCode::FORBIDDEN).await;
        }
        // Who logs in there is tested apart; here, that it ends nobody else's login.
        "/auth/login" | "/auth/callback" | "/auth/logout" => {
            let is_there = scene.mode == "oidc";
            let (method, path, expected) = match path {
                "/auth/login" => ("GET", path, StatusCode::SEE_OTHER),
                "/auth/callback" => ("GET", "/auth/callback?state=x&code=y", StatusCode::FORBIDDEN),
                _ => ("POST", path, StatusCode::OK),
            };
            let request = Request::builder().method(method).uri(path).header("host", "localhost");
            let response = scene.server.send(request.body(Body::empty()).unwrap()).await;
            let expected = if is_there { expected } else { StatusCode::NOT_FOUND };
            assert_eq!(response.status(), expected, "{place}");
            assert!(!text(response).await.contains(SECRET), "{place}");
        }
        "/assistant/chatkit" => {
            let body = json!({ "query": "hi", "thread_id": things.thread }).to_string();
            check("POST", path, &body, StatusCode::NOT_FOUND).await;
            check("POST", "/assistant/chatkit?format=simple", &body, StatusCode::NOT_FOUND).await;
        }
        "/mcp" => {
            let call = json!({
                "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": { "name": "recall", "arguments": {} },
            });
            check("POST", path, &call.to_string(), StatusCode::OK).await;
        }
        "/x/{*path}" | "/kept" => {
            let thread = &things.thread;
            check("GET", "/x/mine/own", "", StatusCode::OK).await;
            check("GET", &format!("/x/mine/thread/{thread}"), "", StatusCode::NOT_FOUND).await;
            check("POST", &format!("/x/mine/thread/{thread}"), "", StatusCode::NOT_FOUND).await;
            check("GET", &format!("/x/mine/thread?thread_id={thread}"), "", StatusCode::NOT_FOUND)
                .await;
            check("GET", "/kept", "", StatusCode::OK).await;
        }
        "/chatkit/options" => {
            check("GET", path, "", StatusCode::OK).await;
        }
        "/chatkit/attachments" => {
            let request = scene.request(person, "POST", path).body(Body::from("x")).unwrap();
            assert!(scene.server.send(request).await.status().is_client_error(), "{place}");
        }
        "/chatkit/attachments/{id}/content" | "/chatkit/attachments/{id}/upload" => {
            for url in spoiled(things) {
                let method = if url.contains("/upload") { "PUT" } else { "GET" };
                let (status, answer) = scene.answer(person, method, &url, "x").await;
                assert!(status.is_client_error(), "{place}: {url} {status}");
                assert!(!answer.contains(SECRET) && !answer.contains("PNG"), "{place}: {url}");
            }
        }
        _ => panic!("`{path}` has no attack: say what a stranger gets there"),
    }
}

/// Links that were not made for what they lead to.
fn spoiled(things: &Things) -> Vec<String> {
    let Things { content_url, upload_url, attachment, unfinished, .. } = things;
    let query = |url: &str| url.split_once('?').unwrap().1.to_owned();
    let bare = |url: &str| url.split_once('?').unwrap().0.to_owned();
    let (mut later, mut cut) = (content_url.clone(), content_url.clone());
    let at = later.find("expires=").unwrap() + "expires=".len();
    later.insert(at, '9');
    cut.truncate(content_url.len() - 4);
    vec![
        bare(content_url),
        bare(upload_url),
        later,
        cut,
        // Another attachment's, and another purpose's.
        format!("{}?{}", bare(content_url), query(upload_url)),
        format!("{}?{}", bare(upload_url), query(content_url)),
        format!("/chatkit/attachments/{unfinished}/content?{}", query(content_url)),
        format!("/chatkit/attachments/{attachment}/upload?{}", query(upload_url)),
        format!("/chatkit/attachments/{attachment}/upload?{}", query(content_url)),
    ]
}

/// Somebody watches while Ada's tool runs, and hears of their own alone.
async fn watch(scene: &Scene, person: Person, place: &str) {
    let response = scene.send(person, "GET", "/api/events", "").await;
    let may_watch = !scene.has_organisations() || person == Person::Bob;
    if !may_watch {
        assert!(response.status().is_client_error(), "{place}");
        return;
    }
    assert_eq!(response.status(), StatusCode::OK, "{place}");
    if person == Person::Nobody {
        return;
    }
    let run = async |person: Person, argument: &str| {
        scene.server.model.push(ScriptedResponse::call("recall", json!({ "said": argument })));
        scene.server.model.push(ScriptedResponse::text("."));
        scene.create(person, "go", &[]).await.0
    };
    let hers = run(Person::Ada, "by ada").await;
    run(person, "by me").await;
    let mut frames = response.into_body().into_data_stream();
    let mut heard = String::new();
    while !heard.contains("by me") {
        heard.push_str(std::str::from_utf8(&frames.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(!heard.contains("by ada") && !heard.contains(&hers), "{place}: {heard}");
    let params = json!({ "thread_id": hers });
    assert_eq!(scene.call(Person::Ada, "threads.delete", &params).await.0, StatusCode::OK);
}

#[tokio::test]
async fn no_route_gives_what_is_anothers() {
    assert!(paths().len() > 15, "{:?}", paths());
    for mode in MODES {
        let scene = Scene::start(mode).await;
        let things = scene.furnish(Person::Ada).await;
        let before = scene.state().await;
        for person in STRANGERS {
            for path in paths().iter().chain(CONFIGURED) {
                attack(&scene, &things, person, path).await;
            }
        }
        // Links count for whom they were given to, and whoever has them from there.
        let content = scene.send(Person::Nobody, "GET", &things.content_url, "").await;
        assert_eq!(content.status(), StatusCode::OK);
        assert_eq!(scene.state().await, before, "{mode}");
    }
}

#[tokio::test]
async fn what_is_everyones_is_one_organisations() {
    for mode in MODES {
        let scene = Scene::start(mode).await;
        let keep = scene.answer(Person::Ada, "POST", "/x/mine/keep", SECRET).await;
        assert_eq!(keep.0, StatusCode::OK);
        let (_, bobs) = scene.answer(Person::Bob, "GET", "/x/mine/all", "").await;
        assert!(bobs.contains(SECRET), "{mode}: {bobs}");
        let (_, eves) = scene.answer(Person::Eve, "GET", "/x/mine/all", "").await;
        assert_eq!(eves.contains(SECRET), !scene.has_organisations(), "{mode}: {eves}");
        for person in [Person::Bob, Person::Eve] {
            let (_, own) = scene.answer(person, "GET", "/x/mine/own", "").await;
            assert!(!own.contains(SECRET), "{mode}: {own}");
        }
    }
}
