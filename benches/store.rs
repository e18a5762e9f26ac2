//! What a database costs the server: turns per second of CPU, and what lists and turns take in an empty store and in one with
//! 1,000,000 items in 10,000 threads.
//!
//! `cargo bench --bench store`, on SQLite, and on the servers that `KITFOX_TEST_POSTGRES` and `KITFOX_TEST_MYSQL` name; the
//! databases there must be empty and are left filled. `bash .ci/databases postgres -- cargo bench --bench store` starts one.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no figure")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]
#![expect(
    clippy::disallowed_methods,
    reason = "whoever runs it says where, and the system what it cost"
)]

use std::{
    env, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use kitfox::{
    app::{App, Options},
    config::Environment,
    model::{Models, Scripted, ScriptedResponse},
    server,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, SqliteConnection};
use tower::ServiceExt;

const TURNS: usize = 4000;
const CLIENTS: usize = 16;
const SAMPLES: usize = 300;
const THREADS: usize = 10_000;
const ITEMS: usize = 100;
/// Users whom the threads belong to.
const USERS: usize = 10;

/// Of `n` from 0 up, in words of all databases.
const DIGITS: &str = "(select 0 d union all select 1 union all select 2 union all select 3 union all select 4 union all select 5
    union all select 6 union all select 7 union all select 8 union all select 9)";

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // `cargo test --benches` only wants to see it run.
    let quick = !env::args().any(|it| it == "--bench");
    let folder = tempfile::tempdir().unwrap();
    let mut urls = vec![format!("sqlite://{}/kitfox.db", folder.path().display())];
    if !quick {
        urls.extend(
            ["KITFOX_TEST_POSTGRES", "KITFOX_TEST_MYSQL"].iter().filter_map(|it| env::var(it).ok()),
        );
    }
    let mut first = None;
    for url in urls {
        let scheme = url.split(':').next().unwrap().to_owned();
        let (app, model) = start(folder.path(), &url).await;
        let router = server::router(app.clone());
        let turns = if quick { 20 } else { TURNS };
        run_turns(&router, &model, turns / 10).await;
        let before = cpu();
        let begin = Instant::now();
        run_turns(&router, &model, turns).await;
        let (spent, elapsed) = (cpu().saturating_sub(before), begin.elapsed());
        let count = f64::from(u32::try_from(turns).unwrap());
        let rate = count / spent.as_secs_f64().max(0.01);
        let share = rate / *first.get_or_insert(rate);
        println!(
            "{scheme}: {rate:.0} turns per second of CPU ({share:.2} of SQLite), {turns} turns in {elapsed:?}"
        );

        let samples = if quick { 3 } else { SAMPLES };
        measure(&format!("{scheme}, few threads"), &router, &model, "u0", samples).await;
        let begin = Instant::now();
        let threads = if quick { 100 } else { THREADS };
        seed(&url, threads).await;
        println!("{scheme}: seeded {threads} threads of {ITEMS} items in {:?}", begin.elapsed());
        measure(&format!("{scheme}, {threads} threads"), &router, &model, "u1", samples).await;
        app.stopping.cancel();
        app.close().await;
    }
}

async fn start(folder: &Path, url: &str) -> (App, Scripted) {
    fs::create_dir_all(folder.join("prompts")).unwrap();
    fs::write(
        folder.join("prompts/assistant.md"),
        "---\ntitles: false\n---\nYou are a benchmark.\n",
    )
    .unwrap();
    let model = Scripted::replaying(Vec::new());
    let models = Models::with_provider("default", Arc::new(model.clone()));
    let environment = [("KITFOX_AUTH__MODE".to_owned(), "header".to_owned())];
    let app = App::start(Options {
        project: folder.to_owned(),
        environment: Environment(environment.into_iter().collect()),
        models: Some(Arc::new(models)),
        store: Some(url.to_owned()),
        watch: false,
    });
    let app = app.await.unwrap();
    app.store.check().await.unwrap();
    (app, model)
}

/// New threads of one turn each, by several clients at once.
async fn run_turns(router: &Router, model: &Scripted, turns: usize) {
    let clients = (0..CLIENTS).map(async |client| {
        for _ in 0..turns.div_ceil(CLIENTS) {
            model.push(ScriptedResponse::text("one|two|three|four|five|six|seven|eight"));
            let params = json!({ "input": input() });
            send(router, &format!("client{client}"), "threads.create", params).await;
        }
    });
    futures::future::join_all(clients).await;
}

/// What a user waits for.
async fn measure(name: &str, router: &Router, model: &Scripted, user: &str, samples: usize) {
    model.push(ScriptedResponse::text("an answer"));
    let created = send(router, user, "threads.create", json!({ "input": input() })).await;
    let own = created
        .split("\"id\":\"")
        .find_map(|it| it.split('"').next().filter(|it| it.starts_with("thr_")));
    let own = own.unwrap().to_owned();
    let listed = send(router, user, "threads.list", json!({ "limit": 20, "order": "desc" })).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let threads = listed["data"].as_array().unwrap();
    let full = threads.last().unwrap()["id"].as_str().unwrap().to_owned();
    let list = json!({ "limit": 20, "order": "desc", "after": threads[threads.len() / 2]["id"] });
    let items = json!({ "thread_id": full, "limit": 20, "order": "desc" });
    let turn = json!({ "thread_id": own, "input": input() });
    for (operation, params) in
        [("threads.list", list), ("items.list", items), ("threads.add_user_message", turn)]
    {
        let mut times = Vec::new();
        for _ in 0..samples {
            model.push(ScriptedResponse::text("an answer"));
            let begin = Instant::now();
            send(router, user, operation, params.clone()).await;
            times.push(begin.elapsed());
        }
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!("{name}: {operation} median {:?}, 99th percentile {:?}", at(50), at(99));
    }
}

async fn send(router: &Router, user: &str, operation: &str, params: Value) -> String {
    let request = Request::post("/chatkit")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-user-id", user)
        .body(Body::from(json!({ "type": operation, "params": params }).to_string()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(!text.contains(r#""type":"error""#), "{text}");
    text
}

fn input() -> Value {
    json!({
        "content": [{ "type": "input_text", "text": "go" }], "attachments": [], "inference_options": {},
    })
}

/// Fills the database with threads of [`ITEMS`] messages, by SQL.
async fn seed(url: &str, threads: usize) {
    let thread = r#"'{"id":"thr_s' || n || '","created_at":"2026-01-01T00:00:00Z","status":{"type":"active"},"metadata":{}}'"#;
    let add_threads = format!(
        "insert into threads (id, owner, created_at, data, page)
         select 'thr_s' || n, 'header:0::u' || (n % {USERS}), 1767225600000000 + n, {thread}, '{{}}'
         from (select a.d + 10 * b.d + 100 * c.d + 1000 * e.d as n
               from {DIGITS} a, {DIGITS} b, {DIGITS} c, {DIGITS} e) numbers
         where n < {threads} order by n"
    );
    let head = r#"'"id":"msg_' || t.id || '_' || n || '","thread_id":"' || t.id || '","created_at":"2026-01-01T00:00:00Z",'"#;
    let add_items = format!(
        r#"insert into items (thread, id, kind, hidden, pending, json)
         select t.position, 'msg_' || t.id || '_' || n,
             case n % 2 when 0 then 'user_message' else 'assistant_message' end, 0, 0,
             case n % 2
                 when 0 then '{{"type":"user_message",' || {head} || '"content":[{{"type":"input_text","text":"what is it?"}}],"attachments":[],"inference_options":{{}}}}'
                 else '{{"type":"assistant_message",' || {head} || '"content":[{{"type":"output_text","text":"it is what it is","annotations":[]}}]}}'
             end
         from threads t, (select a.d + 10 * b.d as n from {DIGITS} a, {DIGITS} b) numbers
         where t.id like 'thr_s%' and n < {ITEMS} order by t.position, n"#
    );
    for sql in [add_threads, add_items] {
        let sql = AssertSqlSafe(sql);
        match url.split(':').next().unwrap() {
            "sqlite" => {
                let mut connection = SqliteConnection::connect(url).await.unwrap();
                sqlx::query(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            "postgres" => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query(sql).execute(&mut connection).await.unwrap();
                sqlx::query("analyze").execute(&mut connection).await.unwrap();
            }
            _ => {
                let mut connection = MySqlConnection::connect(url).await.unwrap();
                sqlx::query(sql).execute(&mut connection).await.unwrap();
            }
        }
    }
}

/// What this process has spent, where the system tells.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
    // A tick is a hundredth of a second on Linux.
    Duration::from_millis(ticks * 10)
}
