//! What the parts of a turn cost: `cargo bench`. Figures are compared, never asserted.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no figure")]

use std::{fs, hint::black_box, path::Path, sync::Arc};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kitfox::{
    app::{App, Options},
    chatkit::{
        AssistantMessageContent, AssistantMessageItem, ItemId, ThreadItem, ThreadItemUpdate,
        ThreadStreamEvent,
    },
    config::Environment,
    context::RequestContext,
    credential::{InPrompt, Seals},
    turn::{self, Scope},
    user::User,
};
use serde_json::{Map, json};
use tokio::runtime::Runtime;

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../src/tests/guest.rs"]
mod guest;

const SCRIPT: &str = r#"
    tool(#{
        name: "add", description: "Adds.",
        parameters: #{ a: #{ type: "integer" }, b: #{ type: "integer", default: 2 } },
        run: |args, ctx| args.a + args.b,
    });
"#;

const COMPONENT: &str =
    r#"{"tools":[{"name":"one","description":"d","parameters":{"a":{"type":"integer"}}}]}"#;

/// A copy of this repository's own project, with two tools more.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["prompts", "plugins"] {
        copy(&root.join(part), &folder.path().join(part));
    }
    fs::write(folder.path().join("plugins/add.rhai"), SCRIPT).unwrap();
    let component = guest::plugin(COMPONENT, &guest::answer("{\"sum\":3}"));
    fs::write(folder.path().join("plugins/one.wasm"), component).unwrap();
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn start(folder: &Path) -> App {
    let options = Options {
        project: folder.to_owned(),
        environment: Environment::default(),
        models: None,
        store: Some("sqlite::memory:".to_owned()),
        watch: false,
    };
    App::start(options).await.unwrap()
}

fn prompt(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = project();
    let app = runtime.block_on(start(folder.path()));
    let generation = app.generation();
    let agent = generation.prompts.find("assistant").unwrap();
    let metadata = json!({ "pageContext": { "title": "Home", "url": "https://example.org/" } });
    let context =
        RequestContext::of_user(User::new("header", "", "ada"), metadata.as_object().unwrap());
    let tools = turn::tools(&generation, agent);
    criterion.bench_function("render the assistant's prompt", |bencher| {
        bencher.iter(|| {
            let scope = Scope {
                generation: &generation,
                request: &context,
                thread: None,
                tools: &tools,
                history: String::new(),
                vars: &Map::new(),
                credentials: Map::new(),
            };
            black_box(generation.prompts.render(agent, scope.to_value()).unwrap())
        });
    });
}

fn tool_call(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = project();
    let app = runtime.block_on(start(folder.path()));
    let generation = app.generation();
    let user = User::new("header", "", "ada");
    let context = Arc::new(RequestContext::of_user(user, &Map::new()));
    for (name, tool) in [("call a Rhai tool", "add"), ("call a tool that is a component", "one")] {
        criterion.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let arguments = json!({ "a": 1 });
                let result = turn::call_tool(&app, &generation, tool, arguments, context.clone());
                black_box(result.await.unwrap())
            });
        });
    }
}

fn events(criterion: &mut Criterion) {
    let delta = ThreadStreamEvent::ItemUpdated {
        item_id: ItemId::from("msg_01a1fe7b598071e2b234324e8cd3ddcd"),
        update: ThreadItemUpdate::TextDelta { content_index: 0, delta: "word \"é\" ".to_owned() },
    };
    criterion.bench_function("serialize a text delta", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&delta)).unwrap());
    });
    let mut message = AssistantMessageItem::new("thr_01a1fe7b58dc771caa55b5aa35da478d".into());
    message.content =
        vec![AssistantMessageContent { text: "word ".repeat(200), annotations: Vec::new() }];
    let done = ThreadStreamEvent::ItemDone { item: ThreadItem::AssistantMessage(message) };
    criterion.bench_function("serialize a finished message of 200 words", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&done)).unwrap());
    });
}

fn reload(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = project();
    let app = runtime.block_on(start(folder.path()));
    let path = folder.path().join("plugins/add.rhai");
    let mut count = 0;
    criterion.bench_function("reload one changed script", |bencher| {
        bencher.iter_batched(
            || {
                count += 1;
                fs::write(&path, format!("{SCRIPT}// {count}\n")).unwrap();
            },
            |()| runtime.block_on(app.reload()),
            BatchSize::PerIteration,
        );
    });
    criterion.bench_function("look at a project where nothing changed", |bencher| {
        bencher.iter(|| runtime.block_on(app.reload()));
    });
}

/// A turn with two handles, of which one is opened, and a result of 64 KiB that comes back.
fn credentials(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = "[credentials.one]\nsource = \"static\"\nvalue = \"tok-one-SECRET-1111\"\n\
                  [credentials.two]\nsource = \"static\"\nvalue = \"tok-two-SECRET-2222\"\n";
    fs::write(folder.path().join("kitfox.toml"), config).unwrap();
    let app = runtime.block_on(start(folder.path()));
    let credentials = app.generation().host.credentials.clone();
    let context = RequestContext::of_user(User::new("header", "", "ada"), &Map::new());
    let names = ["one", "two"].map(|it| (it.to_owned(), InPrompt::Handle)).into();
    let seals = Seals::default();
    runtime.block_on(async {
        seals.seal(&names, &credentials, &context).await;
        for name in ["one", "two"] {
            seals.remember(name, &credentials.fetch(name, &context).await.unwrap());
        }
    });
    let prompt = seals.prompt(&credentials);
    let handle = prompt["one"].as_str().unwrap();
    let line = "{\"title\": \"A note\\nof two lines\", \"url\": \"https://a.test/?q=50%25%20off\", \"data\": \"aGVsbG8gd29ybGQ=\"},\n";
    let mut result = line.repeat(64 * 1024 / line.len());
    let called = json!({ "text": "hi", "access_token": handle }).to_string();
    let stored = seals.unseal_names(&called).into_owned();
    criterion.bench_function("scrub a result of 64 KiB", |bencher| {
        let scrubber = seals.scrubber();
        bencher.iter(|| scrubber.scrub(black_box(&result)).len());
    });
    result.push_str("tok-one-SECRET-1111");
    criterion.bench_function(
        "open, store, show and scrub a call with 64 KiB of result",
        |bencher| {
            bencher.iter(|| {
                assert!(seals.is_live("one", black_box(handle)));
                let stored_now = seals.unseal_names(black_box(&called)).len();
                let shown = seals.reseal(black_box(&stored)).len();
                stored_now + shown + seals.scrubber().scrub(black_box(&result)).len()
            });
        },
    );
}

criterion_group!(benches, prompt, tool_call, events, reload, credentials);
criterion_main!(benches);
