//! What hostile components do to everybody else: `cargo bench --bench hostile`.
//!
//! 50 streams run while 10,000 calls each try to break something, and again while a component of 12 MB is compiled. It
//! prints figures; what is asserted is that no stream fails and that each call ends as an error of its tool. Model, server and clients
//! are one process, so the gaps are theirs together.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no figure")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_stream::stream;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
    stream::BoxStream,
};
use kitfox::{
    app::{App, Options},
    config::Environment,
    model::{
        Completion, Finish, InputContent, InputItem, Model, ModelError, ModelEvent, ModelRequest,
        Models, ToolCall,
    },
    server,
};
use serde_json::json;
use tokio::net::TcpListener;

use self::shared::{guest, large, resident};

mod shared;

const CALLS: usize = 10_000;
const CALLERS: usize = 16;
const STREAMS: usize = 50;
/// Of one stream, so far apart.
const DELTAS: usize = 100;
const APART: Duration = Duration::from_millis(20);
/// So that ten thousand endless loops have an end.
const LIMITS: &str = "[limits.plugin]\ntimeout = '100ms'\nmemory = 33_554_432\n";

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to see it run.
    let quick = !std::env::args().any(|it| it == "--bench");
    let (calls, functions) = if quick { (24, 10) } else { (CALLS, 4500) };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "kitfox.toml", LIMITS.as_bytes());
    save(folder.path(), "prompts/assistant.md", b"---\ntitles: false\n---\nYou are a test.\n");
    let kinds = hostile();
    for (kind, component) in &kinds {
        save(folder.path(), &format!("plugins/{kind}.wasm"), component);
    }
    let model = Speaker::default();
    let app = App::start(Options {
        project: folder.path().to_owned(),
        environment: Environment(
            [("KITFOX_AUTH__MODE".to_owned(), "header".to_owned())].into_iter().collect(),
        ),
        models: Some(Arc::new(Models::with_provider("default", Arc::new(model.clone())))),
        store: Some(format!("sqlite://{}", folder.path().join("kitfox.db").display())),
        watch: true,
    })
    .await
    .unwrap();
    assert_eq!(app.generation().errors.len(), 0, "{:?}", app.generation().errors);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chatkit", listener.local_addr().unwrap());
    let serving = app.tasks.spawn(server::serve(app.clone(), listener));
    let chat = Chat { client: reqwest::Client::new(), url };
    let kinds: Vec<&str> = kinds.keys().copied().collect();

    let alone = async { tokio::time::sleep(Duration::from_secs(if quick { 0 } else { 5 })).await };
    beside_streams(&app, &chat, "while nothing else happens", alone).await;

    // What is made once is there.
    attack(&app, &chat, &kinds, calls.min(500)).await;
    model.outcomes.lock().unwrap().clear();
    let before = resident();
    let begun = Instant::now();
    let attacked = attack(&app, &chat, &kinds, calls);
    beside_streams(&app, &chat, &format!("during {calls} hostile calls"), attacked).await;
    println!("{calls} hostile calls by {CALLERS} at a time took {:.1?}:", begun.elapsed());
    report(&model.outcomes.lock().unwrap(), calls);
    println!("memory: {} MiB before them, {} MiB after", before >> 20, resident() >> 20);

    let large = large(functions);
    let size = large.len();
    let compiled = async {
        let begun = Instant::now();
        let mut changes = app.changes();
        save(folder.path(), "plugins/large.wasm", &large);
        while !app.generation().tools.0.contains_key("large__f") {
            changes.changed().await.unwrap();
        }
        println!("a component of {size} bytes was in force after {:.1?}", begun.elapsed());
    };
    beside_streams(&app, &chat, "while a large component is compiled", compiled).await;

    drop(chat);
    app.stopping.cancel();
    serving.await.unwrap().unwrap();
}

fn save(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Plugins with one tool each, of the same name, that does what a plugin should not.
fn hostile() -> BTreeMap<&'static str, Vec<u8>> {
    let ret = guest::RETURN;
    let deeper = "(func $deeper (param i32) (result i32)
        (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
    let sleep = r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $alarm (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $wait (param i32)))"#;
    let texts = r#"(data (i32.const 8192) "now[]progress[\"globe\",\"x\"]")"#;
    let now = "(call $invoke (i32.const 8192) (i32.const 3) (i32.const 8195) (i32.const 2) (i32.const 64))";
    let progress = "(call $invoke (i32.const 8197) (i32.const 8) (i32.const 8205) (i32.const 13) (i32.const 64))";
    let for_ever = |call: &str| {
        format!("(loop $again (global.set $heap (i32.const 131072)) {call} (br $again)) {ret}")
    };
    let sources = [
        ("trap", "", "unreachable".to_owned()),
        ("endless", "", format!("(loop $for_ever (br $for_ever)) {ret}")),
        (
            "hog",
            "",
            format!(
                "(loop $more (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
                (memory.fill (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1048576))
                    (i32.const 7) (i32.const 1048576))
                (br $more)) {ret}"
            ),
        ),
        ("deep", deeper, format!("(drop (call $deeper (i32.const 0))) {ret}")),
        (
            "huge",
            "",
            "(drop (memory.grow (i32.const 400)))
            (call $answer (i32.const 0) (i32.const 0) (i32.const 20000000))"
                .to_owned(),
        ),
        (
            "no_text",
            "",
            "(i32.store8 (i32.const 512) (i32.const 255))
            (call $answer (i32.const 0) (i32.const 512) (i32.const 1))"
                .to_owned(),
        ),
        ("no_json", "", guest::answer("{")),
        ("nowhere", "", "(i32.const -4)".to_owned()),
        ("trap_in_host_call", texts, format!("(global.set $heap (i32.const 0x7fffffff)) {now} {ret}")),
        ("host_calls", texts, for_ever(now)),
        ("flood", texts, for_ever(progress)),
        ("sleep", sleep, format!("(call $wait (call $alarm (i64.const 60000000000))) {ret}")),
    ];
    let imports = "import wasi:clocks/monotonic-clock@0.2.0; import wasi:io/poll@0.2.0;";
    let component = |(name, code, call): (&'static str, &str, String)| {
        let describe = format!(
            r#"{{"tools":[{{"name":"{name}","description":"d","parameters":{{"type":"object"}}}}]}}"#
        );
        let imports = if name == "sleep" { imports } else { "" };
        (name, guest::plugin_with(&describe, imports, code, &call))
    };
    sources.into_iter().map(component).collect()
}

/// A model that does what it is told: `speak` streams, `call NAME` calls a tool and keeps what came of it.
#[derive(Clone, Default)]
struct Speaker {
    begun: Arc<Mutex<BTreeMap<String, Instant>>>,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

struct Outcome {
    tool: String,
    elapsed: Duration,
    text: String,
}

impl Model for Speaker {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let text = |content: &[InputContent]| match content {
            [InputContent::Text(text), ..] => text.clone(),
            _ => String::new(),
        };
        let deltas = match request.input.last() {
            Some(InputItem::FunctionCallOutput { call_id, output }) => {
                let elapsed = self.begun.lock().unwrap().remove(call_id).unwrap().elapsed();
                let tool = call_id.split(' ').next().unwrap().to_owned();
                self.outcomes.lock().unwrap().push(Outcome { tool, elapsed, text: text(output) });
                1
            }
            Some(InputItem::Message { content, .. }) => {
                let text = text(content);
                if let Some(name) = text.strip_prefix("call ") {
                    static COUNT: AtomicUsize = AtomicUsize::new(0);
                    let count = COUNT.fetch_add(1, Ordering::Relaxed);
                    let (name, call_id) = (name.to_owned(), format!("{name} {count}"));
                    self.begun.lock().unwrap().insert(call_id.clone(), Instant::now());
                    let call = ToolCall { call_id, name, arguments: "{}".to_owned() };
                    let events = [ModelEvent::ToolCall(call), ModelEvent::Done(Finish::Stop)];
                    return futures::stream::iter(events.map(Ok)).boxed();
                }
                DELTAS
            }
            _ => 0,
        };
        Box::pin(stream! {
            yield Ok(ModelEvent::MessageAdded);
            yield Ok(ModelEvent::ContentPartAdded { content_index: 0 });
            let mut next = tokio::time::Instant::now();
            for _ in 0..deltas {
                tokio::time::sleep_until(next).await;
                next += APART;
                yield Ok(ModelEvent::TextDelta { content_index: 0, delta: "word ".to_owned() });
            }
            yield Ok(ModelEvent::MessageDone);
            yield Ok(ModelEvent::Done(Finish::Stop));
        })
    }

    fn complete(&self, _: ModelRequest) -> BoxFuture<'static, Result<Completion, ModelError>> {
        async { Ok(Completion::default()) }.boxed()
    }
}

#[derive(Clone)]
struct Chat {
    client: reqwest::Client,
    url: String,
}

/// What a client saw of a stream.
struct Seen {
    gaps: Vec<Duration>,
    /// All that was said came, and no error.
    is_whole: bool,
}

impl Chat {
    async fn say(&self, user: String, text: String) -> Seen {
        let input = json!({
            "content": [{ "type": "input_text", "text": text }], "attachments": [], "inference_options": {},
        });
        let body = json!({ "type": "threads.create", "params": { "input": input } });
        let request = self.client.post(&self.url).header("x-user-id", user).json(&body);
        let mut response = request.send().await.unwrap();
        let (mut gaps, mut last, mut seen) = (Vec::new(), None, String::new());
        while let Some(chunk) = response.chunk().await.unwrap() {
            let chunk = String::from_utf8_lossy(&chunk).into_owned();
            if chunk.contains("text_delta") {
                let now = Instant::now();
                gaps.extend(last.map(|it| now - it));
                last = Some(now);
            }
            seen.push_str(&chunk);
        }
        let expected = if text == "speak" { DELTAS } else { 1 };
        let is_whole =
            seen.matches("text_delta").count() == expected && !seen.contains(r#""type":"error""#);
        Seen { gaps, is_whole }
    }
}

/// Streams go on for as long as `work` does, and are looked at.
async fn beside_streams(app: &App, chat: &Chat, when: &str, work: impl Future<Output = ()>) {
    let done = Arc::new(AtomicBool::new(false));
    let streams = (0..STREAMS).map(|index| {
        let (chat, done) = (chat.clone(), done.clone());
        app.tasks.spawn(async move {
            let (mut gaps, mut failed, mut count) = (Vec::new(), 0, 0);
            // Not all in step.
            tokio::time::sleep(APART * u32::try_from(index).unwrap() / 7).await;
            while count == 0 || !done.load(Ordering::Relaxed) {
                let seen = chat.say(format!("reader-{index}"), "speak".to_owned()).await;
                gaps.extend(seen.gaps);
                failed += usize::from(!seen.is_whole);
                count += 1;
            }
            (gaps, failed, count)
        })
    });
    let streams: Vec<_> = streams.collect();
    work.await;
    done.store(true, Ordering::Relaxed);
    let (mut gaps, mut failed, mut count) = (Vec::new(), 0, 0);
    for stream in streams {
        let (own, lost, answers) = stream.await.unwrap();
        gaps.extend(own);
        failed += lost;
        count += answers;
    }
    gaps.sort();
    let at = |per_mille: usize| gaps[(gaps.len() - 1) * per_mille / 1000];
    println!(
        "{STREAMS} streams {when}: {count} answers, {failed} failed; a word every {APART:?}, gaps: median {:.1?}, \
         99th percentile {:.1?}, 99.9th {:.1?}, longest {:.1?}",
        at(500),
        at(990),
        at(999),
        at(1000)
    );
    assert_eq!(failed, 0, "a stream failed");
}

/// Has the model call each of these tools in turn.
async fn attack(app: &App, chat: &Chat, tools: &[&str], calls: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let callers = (0..CALLERS).map(|index| {
        let (chat, next) = (chat.clone(), next.clone());
        let tools: Vec<_> = tools.iter().map(|it| format!("call {it}")).collect();
        app.tasks.spawn(async move {
            loop {
                let count = next.fetch_add(1, Ordering::Relaxed);
                if count >= calls {
                    return;
                }
                let text = tools[count % tools.len()].clone();
                let seen = chat.say(format!("caller-{index}"), text.clone()).await;
                assert!(seen.is_whole, "`{text}` ended its turn");
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
}

fn report(outcomes: &[Outcome], calls: usize) {
    assert_eq!(outcomes.len(), calls);
    let mut kinds = BTreeMap::<(&str, &str), (usize, Duration)>::new();
    for Outcome { tool, elapsed, text } in outcomes {
        assert!(text.starts_with("error: "), "`{tool}` gave {text}");
        let (count, longest) = kinds.entry((tool, text)).or_default();
        *count += 1;
        *longest = (*longest).max(*elapsed);
    }
    for ((tool, text), (count, longest)) in kinds {
        println!("  {count:5} {tool}, the longest {longest:.1?}: {text}");
    }
}
