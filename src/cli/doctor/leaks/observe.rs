//! The turn, and all that can be seen of it.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, anyhow, ensure};
use serde_json::{Value, json};
use tracing_subscriber::fmt::format::FmtSpan;
use url::Url;

use super::copy::{Copy, FETCH, Place};
use crate::{
    app::{App, Options},
    cli::doctor::stand_in::StandIn,
    config::Environment,
    model::{Models, Scripted},
    oauth::Target,
    server::Local,
    user::UserKey,
};

/// Where prompts show a secret if the operator wills it.
pub const SHOWN_BY_WILL: &str = "prompts and model requests";

/// What was seen.
pub struct Observed {
    /// By the place where anybody may look.
    pub places: Vec<(&'static str, String)>,
    /// By the id of who was sent it.
    pub sent: Vec<(String, String)>,
}

/// Runs the turn, and looks everywhere.
pub fn observe(copy: &Copy) -> anyhow::Result<Observed> {
    let logs = Logs::default();
    let writer = logs.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let folder = Folder::new()?;
    let mut observed = tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run_turn(copy, &folder.0))
    })?;
    let mut database = Vec::new();
    for file in fs::read_dir(folder.0.join("store"))? {
        let path = file?.path();
        if path.is_file() {
            database.extend(fs::read(path)?);
        }
    }
    observed.places.push(("the database", String::from_utf8_lossy(&database).into_owned()));
    observed.places.push(("the log and its traces", logs.text()));
    for (place, text) in &observed.places {
        ensure!(!text.is_empty(), "there was nothing to look at in {place}");
    }
    Ok(observed)
}

async fn run_turn(copy: &Copy, folder: &Path) -> anyhow::Result<Observed> {
    let stand_in = StandIn::new(copy.arguments(), copy.tokens()).await?;
    copy.write(folder, stand_in.port()?)?;
    let model = Scripted::new(copy.script());
    let turn = async {
        let app = App::start(Options {
            project: folder.to_owned(),
            environment: Environment::default(),
            models: Some(Arc::new(Models::with_provider("default", Arc::new(model.clone())))),
            store: Some(format!("sqlite://{}/store/kitfox.db", folder.display())),
            watch: false,
        })
        .await
        .map_err(|errors| anyhow!("the copy does not load: {errors:?}"))?;
        let seen = look_at(copy, &app).await;
        app.close().await;
        seen
    };
    let mut places = tokio::select! {
        turn = turn => turn?,
        () = stand_in.serve() => return Err(anyhow!("the stand-in for the servers ended")),
    };
    ensure!(model.remaining() == 0, "the turn ended before all was tried");
    places.push((SHOWN_BY_WILL, format!("{:?}", model.requests())));
    Ok(Observed { places, sent: stand_in.seen() })
}

async fn look_at(copy: &Copy, app: &App) -> anyhow::Result<Vec<(&'static str, String)>> {
    if let Some(err) = app.generation().errors.first() {
        return Err(anyhow!("the copy is not in force: {err}"));
    }
    let client = Client { local: Local::new(app.clone()), headers: copy.headers() };
    let mut pages = client.give(copy, app).await?;

    let input = json!({
        "content": [{ "type": "input_text", "text": "go" }],
        "attachments": [],
        "inference_options": {},
    });
    let create = json!({ "type": "threads.create", "params": { "input": input } });
    let events = client.ask("POST", "/chatkit", create.to_string()).await?;
    let first: Value = events
        .lines()
        .find_map(|it| serde_json::from_str(it.strip_prefix("data: ")?).ok())
        .with_context(|| format!("there was no turn: {events}"))?;
    let thread = first["thread"]["id"].as_str().context("there is a thread")?;
    let watched = app.timeline.of(&UserKey::new("token", "", "canary"));
    let inspections = format!("watched\n{}", serde_json::to_string(&watched)?);

    let of_thread = |kind: &str| {
        let params = json!({ "thread_id": thread, "order": "asc", "limit": 100 });
        json!({ "type": kind, "params": params }).to_string()
    };
    let mut items = String::new();
    for kind in ["items.list", "threads.get_by_id", "threads.list"] {
        items.push_str(&client.ask("POST", "/chatkit", of_thread(kind)).await?);
    }
    for path in [
        "/",
        "/api/generation",
        "/api/tools",
        "/api/credentials",
        "/chatkit/options",
        "/credentials",
        "/healthz",
        "/metrics",
        "/oauth/client.json",
        "/readyz",
    ] {
        pages.push_str(&client.ask("GET", path, String::new()).await?);
    }
    let mut state = client.ask("GET", "/api/mcp", String::new()).await?;
    // Writing to a text cannot fail.
    let _ = write!(state, "{:?}", app.generation().mcp.statuses());
    let errors = client.provoke(copy).await?;
    let arguments = json!({ "text": "ok" });
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": FETCH, "arguments": arguments },
    });
    let called = client.ask("POST", "/mcp", call.to_string()).await?;
    ensure!(called.contains("it was sent"), "the tool for other clients was not called: {called}");
    Ok(vec![
        ("events to the browser", events),
        ("what watchers see", inspections),
        ("stored items and their exports", items),
        ("pages and lists", pages),
        ("the state of the servers, and /api/mcp", state),
        ("what other MCP clients see", called),
        ("error answers", errors),
    ])
}

/// A browser whose user the canaries are.
struct Client {
    local: Local,
    headers: Vec<(String, String)>,
}

impl Client {
    /// All that is answered, as it goes over the wire.
    async fn ask(&self, method: &str, path: &str, body: String) -> anyhow::Result<String> {
        let answer = self.local.ask(method, path, &self.headers, body).await;
        Ok(answer.map_err(|err| anyhow!(err))?.text())
    }

    /// Enters what users enter, and logs in wherever they do; gives all that was answered.
    async fn give(&self, copy: &Copy, app: &App) -> anyhow::Result<String> {
        let mut seen = String::new();
        let user = UserKey::new("token", "", "canary");
        let generation = app.generation();
        let accounts = generation.host.credentials.accounts();
        for planted in &copy.planted {
            let key = match &planted.place {
                Place::Store => {
                    let body = json!({ "value": planted.secret.expose() }).to_string();
                    let path = format!("/api/credentials/{}", planted.name);
                    let answer = self.ask("PUT", &path, body).await?;
                    ensure!(answer.starts_with("204"), "nothing can be entered: {answer}");
                    seen.push_str(&answer);
                    continue;
                }
                Place::OAuth => Target::of_credential(&planted.name),
                Place::Own { server } => Target::of_server(server),
                Place::Request { .. }
                | Place::Login
                | Place::Static
                | Place::Exchange
                | Place::Beside => continue,
            };
            let link = Url::parse(&accounts.link(&key, &user))?;
            let path = format!("{}?{}", link.path(), link.query().unwrap_or_default());
            seen.push_str(&self.log_in(copy, &path).await?);
        }
        Ok(seen)
    }

    async fn log_in(&self, copy: &Copy, path: &str) -> anyhow::Result<String> {
        let begun = self.local.ask("GET", path, &self.headers, String::new()).await;
        let begun = begun.map_err(|err| anyhow!(err))?;
        let location = begun.header("location").and_then(|it| Url::parse(it).ok());
        let location = location.with_context(|| format!("no login begins: {}", begun.text()))?;
        let state = location.query_pairs().find(|(key, _)| key == "state");
        let (_, state) = state.context("a login has a state")?;
        let cookie = begun.header("set-cookie").and_then(|it| it.split(';').next());
        let mut headers = self.headers.clone();
        headers.push(("cookie".to_owned(), cookie.context("a login has a cookie")?.to_owned()));
        let code = copy.secret("the code of a login").context("it is planted")?.expose();
        let path = format!("/oauth/callback?state={state}&code={code}");
        let ended = self.local.ask("GET", &path, &headers, String::new()).await;
        let ended = ended.map_err(|err| anyhow!(err))?;
        ensure!(ended.status == 200, "no login ends: {}", ended.text());
        Ok(format!("{}\n{}", begun.text(), ended.text()))
    }

    /// Has the server refuse whatever it can refuse.
    async fn provoke(&self, copy: &Copy) -> anyhow::Result<String> {
        let code = copy.secret("the code of a login").context("it is planted")?.expose();
        let callback = format!("/oauth/callback?state=x&code={code}&error={code}");
        let unknown = json!({ "type": "threads.unknown", "params": {} }).to_string();
        let wrong = json!({ "type": "threads.create", "params": { "input": 1 } }).to_string();
        let mut seen = String::new();
        for (method, path, body) in [
            ("POST", "/chatkit", "{".to_owned()),
            ("POST", "/chatkit", unknown),
            ("POST", "/chatkit", wrong),
            ("GET", "/chatkit", String::new()),
            ("POST", "/assistant/chatkit", "nonsense".to_owned()),
            ("POST", "/mcp", "nonsense".to_owned()),
            ("PUT", "/api/credentials/none", format!("{{\"value\": \"{code}\"}}")),
            ("PUT", "/api/credentials/none", code.to_owned()),
            ("POST", "/credentials", format!("do=save&value={code}")),
            ("GET", "/oauth/start/none", String::new()),
            ("GET", &callback, String::new()),
            ("GET", "/x/doctor/none", String::new()),
            ("GET", "/nowhere", String::new()),
        ] {
            let answer = self.ask(method, path, body).await?;
            let is_refused = answer.starts_with('4') || answer.starts_with('5');
            ensure!(is_refused, "{method} {path} was not refused: {answer}");
            seen.push_str(&answer);
        }
        // Somebody who is nobody.
        let nobody = copy.secret("a login that is nobody's").context("it is planted")?.expose();
        let mut headers = self.headers.clone();
        headers.retain(|(name, _)| name != "authorization");
        headers.push(("authorization".to_owned(), format!("Bearer {nobody}")));
        for path in ["/chatkit", "/mcp", "/api/credentials/none"] {
            let answer = self.local.ask("POST", path, &headers, "{}".to_owned()).await;
            seen.push_str(&answer.map_err(|err| anyhow!(err))?.text());
        }
        Ok(seen)
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder of our own that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("kitfox-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it holds canaries, and nobody's secrets.
        let _ = fs::remove_dir_all(&self.0);
    }
}
