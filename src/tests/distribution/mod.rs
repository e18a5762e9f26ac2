//! Plugins from elsewhere: fetched, pinned, held to their content, updated and removed.

mod hostile;
mod registry;

use std::{path::Path, process::ExitCode};

use clap::Parser;
use insta::assert_snapshot;
use serde_json::json;

use crate::{
    cli::{self, Arguments},
    distribution::{
        Candidate, Existing, Kept, Source, find_candidate, find_update, install, remove,
    },
    model::ScriptedResponse,
    tests::{
        guest::{answer, plugin},
        harness::{Server, write},
    },
};

use self::registry::{Fault, Registry, layer};

/// A component with one tool of this name, that answers with this text.
fn component(name: &str, text: &str) -> Vec<u8> {
    let describe = format!(
        r#"{{"tools":[{{"name":"{name}","description":"Test.","parameters":{{"type":"object"}}}}]}}"#
    );
    plugin(&describe, &answer(&format!("\"{text}\"")))
}

fn script(name: &str, text: &str) -> String {
    format!("tool(#{{ name: \"{name}\", description: \"Test.\", run: |args, ctx| \"{text}\" }});\n")
}

async fn answer_of(server: &Server, name: &str) -> String {
    server.model.push(ScriptedResponse::call(name, json!({})));
    server.model.push(ScriptedResponse::text("done"));
    server.create("ada", "go").await;
    server.last_input().lines().last().unwrap().to_owned()
}

async fn find(server: &Server, source: &str) -> Result<Candidate, String> {
    let source = Source::parse(source).map_err(|err| format!("{err:#}"))?;
    let found = find_candidate(&server.app, &source, None, Existing::None).await;
    found.map_err(|err| format!("{err:#}"))
}

fn put(server: &Server, candidate: &Candidate) {
    let Candidate { name, content, pin, existing, .. } = candidate;
    install(server.folder.path(), name, content, pin, existing).unwrap();
}

async fn add(server: &Server, source: &str) -> Candidate {
    let candidate = find(server, source).await.unwrap();
    put(server, &candidate);
    server.app.reload().await;
    candidate
}

async fn update(server: &Server, name: &str) -> Option<Candidate> {
    let lock = server.app.generation().lock.clone().unwrap();
    let candidate = find_update(&server.app, name, lock.find(name).unwrap()).await.unwrap()?;
    put(server, &candidate);
    server.app.reload().await;
    Some(candidate)
}

/// Runs `kitfox plugins …` on the server's project.
async fn kitfox(server: &Server, arguments: &[&str]) -> ExitCode {
    let folder = server.folder.path().to_str().unwrap();
    let all = ["kitfox", "--json", "--project", folder, "plugins"];
    let arguments = Arguments::try_parse_from(all.iter().chain(arguments)).unwrap();
    let code = cli::run(arguments).await;
    server.app.reload().await;
    code
}

fn read(server: &Server, path: &str) -> Option<String> {
    let bytes = std::fs::read(server.folder.path().join(path)).ok()?;
    Some(String::from_utf8(bytes).unwrap())
}

/// A text in which digests and ports are the same each time.
fn redact(text: &str) -> String {
    let digits = regex::Regex::new("[0-9a-f]{12,64}|127.0.0.1:[0-9]+|[0-9]+ of [0-9]+").unwrap();
    digits.replace_all(text, "…").into_owned()
}

#[tokio::test]
async fn a_component_from_a_registry_is_in_force_and_follows_its_tag() {
    let registry = Registry::start().await;
    let one = component("hello", "one");
    let source = registry.push("ada/hello", "1", &[layer(&one, "application/wasm", None)]).await;
    let server = Server::start(&[]).await;
    let candidate = add(&server, &source).await;
    assert_eq!(server.errors(), "");
    assert_eq!(candidate.pin.file, "plugins/hello.wasm");
    assert_eq!(answer_of(&server, "hello").await, r#"output "one""#);
    assert_eq!(update(&server, "hello").await.map(|it| it.name), None);

    let two = component("hello", "two");
    registry.push("ada/hello", "1", &[layer(&two, "application/wasm", None)]).await;
    let updated = update(&server, "hello").await.unwrap();
    assert_ne!(updated.pin.resolved, candidate.pin.resolved);
    assert_eq!(updated.pin.added, candidate.pin.added);
    assert!(!updated.asks_for_more());
    assert_eq!(answer_of(&server, "hello").await, r#"output "two""#);

    // The version of before is still to be had by its digest.
    let (_, digest) = candidate.pin.resolved.as_ref().unwrap().split_once('@').unwrap();
    registry.save_manifest("ada/hello", digest, "{}");
    let pinned = format!("oci+http://{}/ada/hello@{digest}", registry.host);
    let wrong = find(&Server::start(&[]).await, &pinned).await.err().unwrap();
    assert!(wrong.contains("another manifest"), "{wrong}");
}

#[tokio::test]
async fn a_script_may_come_from_a_registry_under_its_title() {
    let registry = Registry::start().await;
    let script = script("hi", "hi");
    let layer = layer(script.as_bytes(), "text/plain", Some("../../Hello There.rhai"));
    let source = registry.push("ada/scripts", "1", &[layer]).await;
    let server = Server::start(&[]).await;
    assert_eq!(add(&server, &source).await.pin.file, "plugins/hello-there.rhai");
    assert_eq!(answer_of(&server, "hi").await, r#"output "hi""#);
}

#[tokio::test]
async fn a_private_registry_learns_who_asks_and_nobody_else_does() {
    let (registry, elsewhere) = (Registry::start().await, Registry::start().await);
    let layers = [layer(&component("hello", "one"), "application/wasm", None)];
    let source = registry.push("ada/hello", "1", &layers).await;
    elsewhere.push("ada/hello", "1", &layers).await;
    registry.fail(Fault::Private);
    let stranger = Server::start(&[]).await;
    let refused = find(&stranger, &source).await.err().unwrap();
    assert_snapshot!(redact(&refused), @"cannot fetch `oci+http://…/ada/hello:1`: `…` does not give `ada/hello`: if it is private, log in with `docker login …`, or set KITFOX_REGISTRY=…, KITFOX_REGISTRY_USER and KITFOX_REGISTRY_PASSWORD");

    let variables = [
        ("KITFOX_REGISTRY", registry.host.as_str()),
        ("KITFOX_REGISTRY_USER", "ada"),
        ("KITFOX_REGISTRY_PASSWORD", "secret"),
    ];
    let ada = Server::start_with(&[], &variables).await;
    assert!(find(&ada, &source).await.is_ok());
    assert!(registry.asked("/blobs/sha256").contains(&"Bearer t0ken".to_owned()));

    // Another registry is not told, though it asks as well.
    elsewhere.fail(Fault::Private);
    assert!(find(&ada, &source.replace(&registry.host, &elsewhere.host)).await.is_err());
    assert!(elsewhere.asked("").iter().all(String::is_empty), "{:?}", elsewhere.asked(""));
}

#[tokio::test]
async fn a_file_and_a_pack_are_copied() {
    let server = Server::start(&[]).await;
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), "Greet.rhai", &script("greet", "hello"));
    write(elsewhere.path(), "cats/plugin.toml", "name = 'cats'\nversion = '1.2.0'\n");
    write(elsewhere.path(), "cats/cats.rhai", &script("cat", "meow"));
    write(elsewhere.path(), "cats/.git/config", "noise");
    let path = |name: &str| elsewhere.path().join(name).to_str().unwrap().to_owned();
    add(&server, &path("Greet.rhai")).await;
    add(&server, &path("cats")).await;
    assert_eq!(server.errors(), "");
    assert_eq!(answer_of(&server, "greet").await, r#"output "hello""#);
    assert_eq!(answer_of(&server, "cat").await, r#"output "meow""#);
    assert_eq!(read(&server, "plugins/cats/.git/config"), None);

    write(elsewhere.path(), "cats/cats.rhai", &script("cat", "purr"));
    assert!(update(&server, "cats").await.is_some());
    assert_eq!(answer_of(&server, "cat").await, r#"output "purr""#);
    let lock = server.app.generation().lock.clone().unwrap();
    remove(server.folder.path(), "cats", lock.find("cats").unwrap(), Kept::Nothing).unwrap();
    server.app.reload().await;
    assert_eq!(answer_of(&server, "cat").await, r#"output "error: there is no tool `cat`""#);
    assert_eq!(server.errors(), "");
}

#[tokio::test]
async fn what_would_not_be_in_force_is_not_taken() {
    let own = script("hello", "own");
    let server = Server::start(&[("plugins/own.rhai", &own), ("plugins/x.rhai", "")]).await;
    let folder = tempfile::tempdir().unwrap();
    let refuse = async |name: &str, text: &str| {
        write(folder.path(), name, text);
        let path = folder.path().join(name);
        redact(&find(&server, path.to_str().unwrap()).await.err().unwrap())
            .replace(folder.path().to_str().unwrap(), "ELSEWHERE")
    };
    assert_snapshot!(refuse("rival.rhai", &own).await, @"
    it does not load in this project, so it is not taken:
      plugins/rival.rhai: the tool `hello` is offered by plugins/own.rhai as well (rename it in one of the two files)
    ");
    assert_snapshot!(refuse("y.rhai", "plugin(#{ name: \"own\" });").await, @"plugins/own.rhai is there already, and is one of the project's own: remove it first, or replace it with `--force`");
    assert_snapshot!(refuse("broken.rhai", "tool(#{ name: }").await, @"
    it does not load in this project, so it is not taken:
      plugins/broken.rhai:1:15: `}` is not expected here (look here and before for a bracket, comma or quote that is missing)
    ");
    assert_snapshot!(refuse("x.rhai", "let a = 1;").await, @"plugins/x.rhai is there already, and is one of the project's own: remove it first, or replace it with `--force`");
    assert_snapshot!(refuse("x.wasm", "text").await, @"cannot fetch `ELSEWHERE/x.wasm`: `x.wasm` is no WebAssembly: it should begin with the bytes 00 61 73 6d");
    assert_snapshot!(refuse("x.txt", "text").await, @"cannot fetch `ELSEWHERE/x.txt`: `x.txt` is no plugin: it is neither WebAssembly nor named .rhai");
    write(folder.path(), "empty/.hidden", "");
    let empty = folder.path().join("empty");
    let err = find(&server, empty.to_str().unwrap()).await.err().unwrap();
    assert!(err.ends_with("the folder is empty"), "{err}");
    assert_snapshot!(find(&server, "plugins/none.rhai").await.err().unwrap(), @"cannot fetch `plugins/none.rhai`: there is no such file or folder");
    assert_eq!(read(&server, "plugins.lock"), None);
}

#[tokio::test]
async fn a_file_that_is_not_as_it_was_added_is_not_loaded() {
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), "hello.rhai", &script("hello", "one"));
    let source = elsewhere.path().join("hello.rhai");
    let server = Server::start(&[]).await;
    add(&server, source.to_str().unwrap()).await;
    server.save("plugins/hello.rhai", &script("hello", "changed")).await;
    assert_eq!(answer_of(&server, "hello").await, r#"output "one""#);
    assert_snapshot!(redact(&server.errors()), @"plugins/hello.rhai: its content is not what plugins.lock holds it to (sha256 ……, not ……) (`kitfox plugins update hello` fetches it again; if the change is yours, `kitfox plugins remove hello --keep-file` makes the file one of the project's own)");

    let lock = read(&server, "plugins.lock").unwrap();
    let files = [("plugins/hello.rhai", script("hello", "changed")), ("plugins.lock", lock)];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let restarted = Server::start(&files).await;
    let none = r#"output "error: there is no tool `hello`""#;
    assert_eq!(answer_of(&restarted, "hello").await, none);

    let updated = update(&restarted, "hello").await.unwrap();
    assert!(updated.before.unwrap().is_changed);
    assert_eq!(restarted.errors(), "");
    assert_eq!(answer_of(&restarted, "hello").await, r#"output "one""#);
    restarted.remove("plugins/hello.rhai").await;
    assert_snapshot!(restarted.errors(), @"plugins/hello.rhai: plugins.lock names this plugin, and it is not there (`kitfox plugins update hello` fetches it, `kitfox plugins remove hello` forgets it)");
    assert!(update(&restarted, "hello").await.is_some());
    assert_eq!(answer_of(&restarted, "hello").await, r#"output "one""#);
}

#[tokio::test]
async fn a_lock_that_cannot_be_read_lets_nothing_else_run() {
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), "hello.rhai", &script("hello", "one"));
    let server = Server::start(&[]).await;
    add(&server, elsewhere.path().join("hello.rhai").to_str().unwrap()).await;
    let good = read(&server, "plugins.lock").unwrap();
    let broken = good.replace("sha256", "<<<<<<< HEAD\nsha256");
    server.save("plugins.lock", &broken).await;
    server.save("plugins/hello.rhai", &script("hello", "changed")).await;
    assert_eq!(answer_of(&server, "hello").await, r#"output "one""#);
    assert_snapshot!(redact(&server.errors()), @"
    plugins.lock:7:1: invalid unquoted key, expected letters, numbers, `-`, `_` (mend it, or bring back its last version: without it no plugin is loaded at a start)
    plugins.lock:7:9: key with no value, expected `=` (mend it, or bring back its last version: without it no plugin is loaded at a start)
    plugins/hello.rhai: its content is not what plugins.lock holds it to (sha256 ……, not ……) (`kitfox plugins update hello` fetches it again; if the change is yours, `kitfox plugins remove hello --keep-file` makes the file one of the project's own)
    ");

    let own = script("own", "own");
    let files = [("plugins/own.rhai", own.as_str()), ("plugins.lock", broken.as_str())];
    let restarted = Server::start(&files).await;
    let none = r#"output "error: there is no tool `own`""#;
    assert_eq!(answer_of(&restarted, "own").await, none);
    restarted.remove("plugins.lock").await;
    assert_eq!(answer_of(&restarted, "own").await, r#"output "own""#);

    // With another digest in the lock, the file is not what it is held to.
    server.save("plugins/hello.rhai", &script("hello", "one")).await;
    let digest = good.lines().find(|it| it.starts_with("sha256")).unwrap();
    let other = format!("sha256 = \"{}\"", "0".repeat(64));
    server.save("plugins.lock", &good.replace(digest, &other)).await;
    assert!(
        server.errors().contains("is not what plugins.lock holds it to"),
        "{}",
        server.errors()
    );
    server.save("plugins.lock", &good).await;
    assert_eq!(server.errors(), "");
}

#[tokio::test]
async fn an_update_that_asks_for_more_says_so_and_waits_for_approval_where_that_is_wanted() {
    let ask = "[plugins]\ntrust = \"ask\"\n";
    let wants = |hosts: &str| {
        let tool = script("hello", "hi");
        format!("plugin(#{{ name: \"hello\", permissions: #{{ http: [{hosts}] }} }});\n{tool}")
    };
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), "hello.rhai", &wants("\"a.test\""));
    let approved = "[hello]\nhttp = ['a.test']\n";
    let server = Server::start(&[("kitfox.toml", ask), ("approvals.toml", approved)]).await;
    let source = elsewhere.path().join("hello.rhai");
    add(&server, source.to_str().unwrap()).await;
    assert_eq!(answer_of(&server, "hello").await, r#"output "hi""#);

    write(elsewhere.path(), "hello.rhai", &(wants("\"a.test\"") + "// other"));
    assert!(!update(&server, "hello").await.unwrap().asks_for_more());
    assert_eq!(answer_of(&server, "hello").await, r#"output "hi""#);

    write(elsewhere.path(), "hello.rhai", &wants("\"a.test\", \"b.test\""));
    let updated = update(&server, "hello").await.unwrap();
    assert!(updated.asks_for_more() && !updated.plugin.manifest().approved);
    let none = r#"output "error: there is no tool `hello`""#;
    assert_eq!(answer_of(&server, "hello").await, none);
    assert_eq!(kitfox(&server, &["approve", "hello"]).await, ExitCode::SUCCESS);
    assert_eq!(answer_of(&server, "hello").await, r#"output "hi""#);
}

#[tokio::test]
async fn the_command_line_changes_nothing_that_nobody_said_yes_to() {
    let elsewhere = tempfile::tempdir().unwrap();
    let source = elsewhere.path().join("hello.rhai").to_str().unwrap().to_owned();
    write(elsewhere.path(), "hello.rhai", &script("hello", "one"));
    let server = Server::start(&[("plugins/own.rhai", &script("own", "own"))]).await;
    let run = async |arguments: &[&str]| kitfox(&server, arguments).await == ExitCode::SUCCESS;

    assert!(!run(&["add", &source]).await);
    assert_eq!(read(&server, "plugins.lock"), None);
    assert!(run(&["add", &source, "--yes", "--name", "greeter"]).await);
    assert_eq!(answer_of(&server, "hello").await, r#"output "one""#);
    assert!(!run(&["add", &source, "--yes", "--name", "greeter"]).await);
    assert!(!run(&["add", &source, "--yes", "--name", "../greeter"]).await);
    assert!(run(&["add", &source, "--yes", "--name", "greeter", "--force"]).await);
    assert!(run(&["list"]).await);

    let more = "plugin(#{ permissions: #{ model: true } });\n".to_owned();
    let more = more + script("hello", "two").as_str();
    write(elsewhere.path(), "hello.rhai", &more);
    assert!(!run(&["update"]).await);
    assert_eq!(answer_of(&server, "hello").await, r#"output "one""#);
    assert!(run(&["update", "greeter", "--yes"]).await);
    assert_eq!(answer_of(&server, "hello").await, r#"output "two""#);

    write(server.folder.path(), "plugins/greeter.rhai", &script("hello", "mine"));
    assert!(!run(&["remove", "greeter"]).await);
    assert!(!run(&["remove", "own"]).await);
    assert!(run(&["remove", "greeter", "--keep-file"]).await);
    assert_eq!(server.errors(), "");
    assert_eq!(answer_of(&server, "hello").await, r#"output "mine""#);
    assert!(!Path::new(&server.folder.path().join("plugins.lock")).exists());
}
