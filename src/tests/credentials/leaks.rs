//! A canary goes through a turn, and is looked for everywhere.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tracing::level_filters::LevelFilter;

use super::{HANDLE, RULES, Scene, call};
use crate::{model::ScriptedResponse, user::UserKey};

const CANARY: &str = "canary-7f3a91-PLANTED";

/// Keeps what is logged on this thread, down to the last detail.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_is_found_nowhere_but_on_the_wire_to_its_server() {
    let logs = Logs::default();
    let writer = logs.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);

    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}/kitfox.db", folder.path().display());
    let rules = format!("headers = {{ X-Token = \"{{{{ credential.notes_token }}}}\" }}\n{RULES}");
    let scene = Scene::start_with(&rules, &store).await;
    let leak = |text: &str| call("notes__leak", json!({ "access_token": HANDLE, "text": text }));
    let turn = [
        leak("ok"),
        leak("fail"),
        call("other__echo", json!({ "text": HANDLE })),
        ScriptedResponse::text("<<find plain .*>>"),
    ];
    let events = scene.turn_of("ada", CANARY, None, &turn).await;
    let state = format!("{:?}", scene.server.app.generation().mcp.statuses());
    let requests = format!("{:?}", scene.server.model.requests());
    let timeline = json!(scene.server.app.timeline.of(&UserKey::new("header", "", "ada")));
    assert_eq!(timeline[0]["steps"].as_array().unwrap().len(), 7);
    scene.server.app.close().await;
    drop(guard);

    // It did go out, in both ways.
    let seen = scene.notes.seen.lock().unwrap().clone();
    let called = seen.iter().filter(|it| it.body["method"] == "tools/call");
    for call in called {
        assert_eq!(call.body["params"]["arguments"]["access_token"], CANARY);
        assert_eq!(call.headers["x-token"], CANARY);
    }
    assert_eq!(Scene::calls(&scene.notes).len(), 2);

    let mut database = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        database.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let logs = logs.0.lock().unwrap().clone();
    let logs = String::from_utf8_lossy(&logs).into_owned();
    let begin: String = logs.chars().take(3000).collect();
    assert!(logs.contains("TRACE") && logs.contains("rmcp"), "{begin}");
    let places = [
        ("events", json!(events).to_string()),
        ("model requests", requests),
        ("the state of servers", state),
        ("the timeline", timeline.to_string()),
        ("database", String::from_utf8_lossy(&database).into_owned()),
        ("logs", logs),
        ("the other server", format!("{:?}", scene.other.seen.lock().unwrap())),
    ];
    let hex = CANARY.bytes().map(|it| format!("{it:02x}")).collect::<Vec<_>>().concat();
    for (place, text) in places {
        assert!(!text.is_empty(), "{place}");
        for form in
            [CANARY, &CANARY[8..], &hex, "Y2FuYXJ5LTdmM2E5MS1QTEFOVEV", "N2YzYTkxLVBMQU5URU"]
        {
            let found = text
                .find(form)
                .map(|at| text[at.saturating_sub(300)..].chars().take(600).collect::<String>());
            assert_eq!(found, None, "{form} in {place}");
        }
    }
}

/// A program that logs each call, before and after its answer.
#[cfg(unix)]
const TALKATIVE: &str = r#"#!/bin/sh
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  say() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
  case $line in
    *'"method":"server/discover"'*)
      printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}\n' "$id" ;;
    *'"method":"initialize"'*)
      say '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/list"'*)
      say '{"tools":[{"name":"note","inputSchema":{"type":"object","properties":{"user_id":{},"access_token":{}}}}]}' ;;
    *'"method":"tools/call"'*)
      token=${line#*access_token}; token=${token%%\}*}
      echo "called with $token" >&2
      say '{"content":[{"type":"text","text":"noted"}]}'
      sleep 0.1
      echo "answered $token" >&2 ;;
  esac
done
"#;

#[cfg(unix)]
#[tokio::test]
async fn what_a_program_logs_of_a_call_is_free_of_its_secrets() {
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    let logs = Logs::default();
    let writer = logs.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());
    let text = || String::from_utf8_lossy(&logs.0.lock().unwrap()).into_owned();

    let config = super::CONFIG.replace("[mcp]", "[mcp]\nstdio = true");
    let scene = Scene::start_on(RULES, &[("kitfox.toml", &config)], "sqlite::memory:").await;
    let program = scene.server.folder.path().join("server.sh");
    std::fs::write(&program, TALKATIVE).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = format!("transport = \"stdio\"\ncommand = \"./server.sh\"\n{RULES}");
    scene.server.save("plugins/notes.mcp.toml", &file).await;
    assert_eq!(scene.server.errors(), "");
    let note = call("notes__note", json!({ "access_token": HANDLE }));
    scene.turn_of("ada", CANARY, None, &[note, ScriptedResponse::text("done")]).await;
    assert_eq!(scene.last_output(), "noted");
    tokio::time::timeout(Duration::from_secs(30), async {
        while !text().contains("answered") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    scene.server.app.close().await;
    drop(guard);
    let logs = text();
    assert!(logs.contains("called with") && logs.contains("[credential notes_token]"), "{logs}");
    assert!(!logs.contains(CANARY), "{logs}");
}
