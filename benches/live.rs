//! How soon a saved file is in force, and whether reloads under load lose a turn:
//! `cargo bench --bench live`. It prints figures; nothing is asserted but that no turn is lost.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no figure")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use kitfox::{
    app::{App, Options},
    config::Environment,
    model::{Models, Scripted, ScriptedResponse},
    server,
};
use serde_json::json;
use tower::ServiceExt;

const SAVES: usize = 200;
const RELOADS: usize = 1000;
const CLIENTS: usize = 4;

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to see it run.
    let quick = !std::env::args().any(|it| it == "--bench");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("prompts")).unwrap();
    fs::create_dir_all(folder.path().join("plugins")).unwrap();
    save(folder.path(), 0);
    let model = Scripted::replaying(Vec::new());
    let models = Models::with_provider("default", Arc::new(model.clone()));
    let app = App::start(Options {
        project: folder.path().to_owned(),
        environment: Environment(
            [("KITFOX_AUTH__MODE".to_owned(), "header".to_owned())].into_iter().collect(),
        ),
        models: Some(Arc::new(models)),
        store: Some("sqlite::memory:".to_owned()),
        watch: true,
    })
    .await
    .unwrap();
    // The watcher begins beside the server.
    tokio::time::sleep(Duration::from_millis(500)).await;

    let saves = if quick { 3 } else { SAVES };
    let mut times = Vec::new();
    for count in 1..=saves {
        let mut changes = app.changes();
        changes.mark_unchanged();
        let begin = Instant::now();
        save(folder.path(), count);
        while description(&app) != count.to_string() {
            changes.changed().await.unwrap();
        }
        times.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("save to live, {saves} saves: median {:?}, 99th percentile {:?}", at(50), at(99));

    let reloads = if quick { 5 } else { RELOADS };
    let done = Arc::new(AtomicBool::new(false));
    let (turns, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let (app, model, done) = (app.clone(), model.clone(), done.clone());
        let (turns, lost) = (turns.clone(), lost.clone());
        let tasks = app.tasks.clone();
        clients.push(tasks.spawn(async move {
            let router = server::router(app);
            while !done.load(Ordering::Relaxed) {
                model.push(ScriptedResponse::call("probe", json!({})));
                model.push(ScriptedResponse::text("one|two|three"));
                let response = router.clone().oneshot(request(client)).await.unwrap();
                let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
                let text = String::from_utf8_lossy(&body);
                turns.fetch_add(1, Ordering::Relaxed);
                if text.contains(r#""type":"error""#) || !text.contains("assistant_message") {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    let begin = Instant::now();
    for count in 0..reloads {
        save(folder.path(), saves + 1 + count);
        app.reload().await;
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let (turns, lost) = (turns.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
    println!("{reloads} reloads in {:?} while {turns} turns ran: {lost} lost", begin.elapsed());
    assert_eq!(lost, 0, "a reload lost a turn");
    app.stopping.cancel();
}

fn save(folder: &Path, count: usize) {
    let script = format!(
        "tool(#{{ name: \"probe\", description: \"{count}\", run: |args, ctx| {count} }});\n"
    );
    fs::write(folder.join("plugins/probe.rhai"), script).unwrap();
    let prompt = format!("---\ntitles: false\n---\nYou are number {count}.\n");
    fs::write(folder.join("prompts/assistant.md"), prompt).unwrap();
}

fn description(app: &App) -> String {
    app.generation().tools.0.get("probe").map(|it| it.spec.description.clone()).unwrap_or_default()
}

fn request(client: usize) -> Request<Body> {
    let input = json!({
        "content": [{ "type": "input_text", "text": "go" }], "attachments": [], "inference_options": {},
    });
    let body = json!({ "type": "threads.create", "params": { "input": input } });
    Request::post("/chatkit")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-user-id", format!("user-{client}"))
        .body(Body::from(body.to_string()))
        .unwrap()
}
