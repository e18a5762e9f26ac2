//! What components cost to compile, to load, to keep and to call: `cargo bench --bench components`. It prints figures;
//! nothing is asserted.
//!
//! `KITFOX_BENCH_COMPONENTS=DIR` measures the files of a folder too. `NAME.json` beside `NAME.wasm` says what is called:
//! `{"tool": "…", "arguments": {…}}`; without it the first tool is, with nothing. Compiled code is kept in the user's cache folder, as
//! by the server.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no figure")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use kitfox::{
    app::{App, Options},
    config::Environment,
    context::RequestContext,
    plugin::{self, Approvals, Host, PluginFiles},
    turn,
    user::User,
};
use serde_json::{Map, Value, json};

use self::shared::{guest, large, resident};

mod shared;

/// The command for [`once_compiled`], in a process of its own.
const ONCE_COMPILED: &str = "once-compiled";

#[tokio::main]
async fn main() {
    plugin::cache_compiled_code();
    let arguments: Vec<String> = env::args().collect();
    if let [_, command, path, call, calls] = &arguments[..]
        && command == ONCE_COMPILED
    {
        let call = serde_json::from_str(call).unwrap();
        return once_compiled(Path::new(path), &call, calls.parse().unwrap()).await;
    }
    // `cargo test --benches` only wants to see it run.
    let quick = !arguments.iter().any(|it| it == "--bench");
    let (calls, sizes) = if quick { (2, [1, 2]) } else { (5000, [40, 4500]) };
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    let describe = r#"{"tools":[{"name":"sum","description":"d","parameters":{"type":"object"}}]}"#;
    let small = guest::plugin(describe, &guest::answer(r#"{"sum":3}"#));
    measure(&app, "a plugin of one tool", &small, &Value::Null, calls);
    for functions in sizes {
        let call = json!({ "tool": "guest__f", "arguments": { "x": 1 } });
        measure(&app, &format!("{functions} functions"), &large(functions), &call, calls);
    }
    let Some(folder) = env::var_os("KITFOX_BENCH_COMPONENTS") else { return };
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|it| it.extension().is_some_and(|it| it == "wasm")) {
        let call = fs::read(path.with_extension("json"));
        let call = call.map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
        let name = path.file_name().unwrap().to_string_lossy();
        measure(&app, &name, &fs::read(path).unwrap(), &call, calls.min(500));
    }
}

/// A server of an empty project.
async fn start(folder: &Path) -> App {
    fs::create_dir_all(folder.join("plugins")).unwrap();
    fs::create_dir_all(folder.join("prompts")).unwrap();
    fs::write(folder.join("prompts/assistant.md"), "You are a test.").unwrap();
    let options = Options {
        project: folder.to_owned(),
        environment: Environment::default(),
        models: None,
        store: Some("sqlite::memory:".to_owned()),
        watch: false,
    };
    App::start(options).await.unwrap()
}

fn measure(app: &App, name: &str, bytes: &[u8], call: &Value, calls: usize) {
    // Nobody has compiled it before.
    let bytes = marked(bytes, rand::random());
    let compiled = load(app, &bytes).1;
    println!("{name}, {} bytes: compiled in {compiled:.2?}", bytes.len());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let status = Command::new(env::current_exe().unwrap())
        .arg(ONCE_COMPILED)
        .arg(file.path())
        .args([call.to_string(), calls.to_string()])
        .status();
    assert!(status.unwrap().success(), "{name}");
}

/// What it costs where its code is in the cache.
async fn once_compiled(path: &Path, call: &Value, calls: usize) {
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    // What is made for the first ones is not the next one's.
    let first = ["1", "2", "3"].map(|it| load(&app, &guest::plugin("{}", &guest::answer(it))).0);
    let bytes = fs::read(path).unwrap();
    let before = resident();
    let (component, loaded) = load(&app, &bytes);
    let kept = resident().saturating_sub(before);
    println!("  loaded from the cache in {loaded:.2?}, idle it has {} KiB", kept >> 10);
    drop((first, component));

    fs::write(folder.path().join("plugins/guest.wasm"), bytes).unwrap();
    app.reload().await;
    let generation = app.generation();
    let tool =
        call["tool"].as_str().or_else(|| generation.tools.0.keys().next().map(String::as_str));
    let Some(tool) = tool else {
        println!("  it is not called: {:?}", generation.errors);
        return;
    };
    let arguments = if call.is_null() { &json!({}) } else { &call["arguments"] };
    let user = User::new("header", "", "ada");
    let context = Arc::new(RequestContext::of_user(user, &Map::new()));
    let (mut times, mut result) = (Vec::new(), Value::Null);
    for _ in 0..calls {
        let begun = Instant::now();
        let answer = turn::call_tool(&app, &generation, tool, arguments.clone(), context.clone());
        result = answer.await.unwrap_or_else(|err| panic!("`{tool}`: {err}"));
        times.push(begun.elapsed());
    }
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "  `{tool}` in a fresh instance: median {:.1?}, 99th percentile {:.1?}",
        at(50),
        at(99)
    );
    println!("  it gives {}", result.to_string().chars().take(80).collect::<String>());
}

/// A plugin, and how long it took to load it.
fn load(app: &App, bytes: &[u8]) -> (Arc<dyn plugin::Plugin>, Duration) {
    let generation = app.generation();
    let (config, models) = (generation.config.clone(), generation.models.clone());
    let host =
        Arc::new(Host::new(config, models, app.store.clone(), Approvals::default(), &app.logins));
    let files = [("guest.wasm".to_owned(), Arc::from(bytes))].into_iter().collect();
    let files =
        PluginFiles { path: "plugins/guest.wasm".to_owned(), name: "guest".to_owned(), files };
    let begun = Instant::now();
    let plugin = plugin::load(&files, &host).unwrap_or_else(|errors| panic!("{errors:?}"));
    (plugin, begun.elapsed())
}

/// The same component with a section that means nothing.
fn marked(bytes: &[u8], mark: [u8; 8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // A custom section: its kind, its length, the length of its name, its name.
    bytes.extend([0, 13, 4]);
    bytes.extend(b"mark");
    bytes.extend(mark);
    bytes
}
