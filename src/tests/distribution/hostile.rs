//! Whoever gives plugins is not trusted: nothing of what fails is left in the project.

use axum::{Router, body::Body, http::Response, routing::get};
use insta::assert_snapshot;
use tokio::net::TcpListener;

use super::{
    component, find, put, read, redact,
    registry::{Fault, Registry, endless, layer, page, redirect},
    script,
};
use crate::tests::harness::Server;

/// What is told of a registry that does this.
async fn told(fault: Fault) -> String {
    let registry = Registry::start().await;
    let layers = [layer(&component("hello", "one"), "application/wasm", None)];
    let source = registry.push("ada/hello", "1", &layers).await;
    registry.fail(fault);
    let server = Server::start(&[]).await;
    let err = find(&server, &source).await.err().unwrap();
    assert!(!server.folder.path().join("plugins").exists());
    assert_eq!(read(&server, "plugins.lock"), None);
    redact(&err)
}

#[tokio::test]
async fn a_registry_that_gives_something_else_is_not_believed() {
    assert_snapshot!(told(Fault::OtherManifest).await, @"cannot fetch `oci+http://…/ada/hello:1`: the registry gave another manifest than it says: sha256:…, not sha256:…");
    assert_snapshot!(told(Fault::OtherBlob).await, @"cannot fetch `oci+http://…/ada/hello:1`: the registry gave another content than it says: sha256:…, not sha256:…");
    assert_snapshot!(told(Fault::ShortBlob).await, @"cannot fetch `oci+http://…/ada/hello:1`: the registry gave … bytes");
    let broken_off = told(Fault::BrokenOff).await;
    assert!(broken_off.contains("broke off"), "{broken_off}");
    assert_snapshot!(told(Fault::EndlessBlob).await, @"cannot fetch `oci+http://…/ada/hello:1`: the answer of `http://…` is longer than 1048576 bytes");
    assert_snapshot!(told(Fault::EndlessManifest).await, @"cannot fetch `oci+http://…/ada/hello:1`: the answer of `http://…` is longer than 4194304 bytes");
    assert_snapshot!(told(Fault::Page).await, @"cannot fetch `oci+http://…/ada/hello:1`: what the registry calls a manifest is none: expected value at line 1 column 1");
}

#[tokio::test]
async fn a_registry_leads_nowhere_without_tls() {
    assert_snapshot!(told(Fault::Redirect("http://blobs.test/x".to_owned())).await, @"cannot fetch `oci+http://…/ada/hello:1`: `http://…` redirects to `http://blobs.test`, which is not followed: from https only https, and to this machine only from it");
    assert_snapshot!(told(Fault::Redirect("file:///etc/passwd".to_owned())).await, @"cannot fetch `oci+http://…/ada/hello:1`: `http://…` redirects to `null`, which is not followed: from https only https, and to this machine only from it");
    assert_snapshot!(told(Fault::Redirect("//".to_owned())).await, @"cannot fetch `oci+http://…/ada/hello:1`: `http://…` redirects to what is no URL");
    assert_snapshot!(told(Fault::Realm("http://tokens.test/".to_owned())).await, @"cannot fetch `oci+http://…/ada/hello:1`: `http://tokens.test` is asked without TLS, so that anybody on the way could change the plugin: use https");
    assert_snapshot!(told(Fault::Realm("nowhere".to_owned())).await, @"cannot fetch `oci+http://…/ada/hello:1`: the registry's realm is no URL: relative URL without a base");
}

#[tokio::test]
async fn where_a_registry_leads_to_does_not_learn_who_asks() {
    let (registry, blobs) = (Registry::start().await, Registry::start().await);
    let layers = [layer(&component("hello", "one"), "application/wasm", None)];
    let source = registry.push("ada/hello", "1", &layers).await;
    blobs.push("ada/hello", "1", &layers).await;
    registry.fail(Fault::Moved(blobs.host.clone()));
    let variables = [
        ("KITFOX_REGISTRY", registry.host.as_str()),
        ("KITFOX_REGISTRY_USER", "ada"),
        ("KITFOX_REGISTRY_PASSWORD", "secret"),
    ];
    let server = Server::start_with(&[], &variables).await;
    put(&server, &find(&server, &source).await.unwrap());
    assert!(blobs.asked("").iter().all(String::is_empty));
    // One that asks who it is gets no answer.
    blobs.fail(Fault::Private);
    let err = find(&Server::start_with(&[], &variables).await, &source).await.err().unwrap();
    assert!(err.contains("is not the registry"), "{err}");
    assert!(blobs.asked("").iter().all(String::is_empty));
}

#[tokio::test]
async fn manifests_of_other_things_are_refused() {
    let registry = Registry::start().await;
    let server = Server::start(&[]).await;
    let big = r#"{"layers": [{"mediaType": "application/wasm", "size": 99999999999, "digest": "sha256:0"}]}"#;
    for (manifest, expected) in [
        ("", "what the registry calls a manifest is none"),
        ("[1]", "what the registry calls a manifest is none"),
        ("{}", "it is no plugin"),
        (r#"{"manifests": [{}]}"#, "it is an index of 1 images"),
        (big, "more than 67108864"),
    ] {
        let source = registry.save_manifest("ada/hello", "1", manifest);
        let err = find(&server, &source).await.err().unwrap();
        assert!(err.contains(expected), "{err}");
    }
    let script = script("hello", "one");
    let archive = layer(script.as_bytes(), "application/gzip", Some("hello.tar.gz"));
    let source = registry.push("ada/hello", "2", &[archive]).await;
    let err = find(&server, &source).await.err().unwrap();
    assert!(err.contains("`hello.tar.gz` is no plugin"), "{err}");
}

#[tokio::test]
async fn an_address_that_gives_something_else_is_told() {
    let text = script("hello", "one");
    let good = move || async move { Response::new(Body::from(text)) };
    let router = Router::new()
        .route("/good/hello.rhai", get(good))
        .route("/page/hello.rhai", get(|| async { page() }))
        .route("/bare/hello.rhai", get(|| async { "<!DOCTYPE html><p>Log in</p>" }))
        .route("/page/hello.wasm", get(|| async { page() }))
        .route("/endless.wasm", get(|| async { endless() }))
        .route("/out.wasm", get(|| async { redirect("http://a.test/x.wasm") }))
        .route("/loop.wasm", get(|| async { redirect("/loop.wasm") }))
        .route("/on.rhai", get(|| async { redirect("/good/hello.rhai") }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap();
    serve(listener, router);
    let server = Server::start(&[]).await;
    let told = async |path: &str| {
        let err = find(&server, &format!("http://{host}{path}")).await.err().unwrap();
        redact(&err)
    };
    assert_snapshot!(told("/page/hello.rhai").await, @"cannot fetch `http://…/page/hello.rhai`: it is a page of a web site and no plugin: give the address of the file itself");
    assert_snapshot!(told("/bare/hello.rhai").await, @"cannot fetch `http://…/bare/hello.rhai`: it is a page of a web site and no plugin: give the address of the file itself");
    assert_snapshot!(told("/page/hello.wasm").await, @"cannot fetch `http://…/page/hello.wasm`: it is a page of a web site and no plugin: give the address of the file itself");
    assert_snapshot!(told("/endless.wasm").await, @"cannot fetch `http://…/endless.wasm`: the answer of `http://…` is longer than 67108864 bytes");
    assert_snapshot!(told("/out.wasm").await, @"cannot fetch `http://…/out.wasm`: `http://…` redirects to `http://a.test`, which is not followed: from https only https, and to this machine only from it");
    assert_snapshot!(told("/loop.wasm").await, @"cannot fetch `http://…/loop.wasm`: it redirects more than 5 times");
    assert_snapshot!(told("/none.wasm").await, @"cannot fetch `http://…/none.wasm`: `http://…` has nothing there (404)");
    assert!(!server.folder.path().join("plugins").exists());
    let found = find(&server, &format!("http://{host}/good/hello.rhai?x=1")).await.unwrap();
    assert_eq!(found.pin.file, "plugins/hello.rhai");
    assert_eq!(found.pin.source, format!("http://{host}/good/hello.rhai?x=1"));
    // Its name is that of the address that was given.
    assert_eq!(find(&server, &format!("http://{host}/on.rhai")).await.unwrap().name, "on");
}

#[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
fn serve(listener: TcpListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}
