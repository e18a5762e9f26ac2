//! Where secrets would be seen, if they leaked.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, anyhow};
use serde_json::{Map, Value, json};
use toml::Table;

use super::stand_in::StandIn;
use crate::{
    app::{App, Options},
    chatkit::Request,
    cli::{check, output::Output},
    config::Environment,
    context::{ContextSources, RequestContext},
    credential::{InPrompt, Scrubber, Secret},
    mcp::Servers,
    model::{Models, Scripted, ScriptedResponse, ScriptedStep},
    ops::{self, Answer, Client, Links},
    user::User,
};

const AGENT: &str = "kitfox-doctor";

/// A server of the project that is passed credentials.
struct Planned {
    id: String,
    /// The file, whose place a stand-in takes.
    text: String,
    /// Its arguments, and the credentials of those that the model passes.
    arguments: Vec<String>,
    from_model: Vec<(String, String)>,
}

/// What is planted: a secret in place of each credential.
struct Canaries {
    secrets: BTreeMap<String, Secret>,
    /// Those that prompts show by the operator's will.
    plaintext: Vec<String>,
}

/// A place, and whose secrets were found there.
struct Found {
    place: &'static str,
    credentials: Vec<String>,
}

pub async fn run(
    project: PathBuf,
    environment: Environment,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let app = match check::load(project.clone(), environment).await {
        Ok(app) => app,
        Err(errors) => {
            output.problems(&errors);
            output.value(&json!({ "errors": errors }));
            return Ok(ExitCode::FAILURE);
        }
    };
    let generation = app.generation();
    let servers = plan(&generation.mcp, &project)?;
    let in_prompt = generation.in_prompt();
    let config = generation.config.clone();
    app.close().await;
    if servers.is_empty() {
        output.line("no MCP server is passed anything: there is nothing to look for");
        output.value(&json!({ "places": [] }));
        return Ok(ExitCode::SUCCESS);
    }
    let canaries = Canaries {
        secrets: config
            .credentials
            .keys()
            .map(|name| (name.clone(), format!("canary-{}", uuid::Uuid::new_v4().simple()).into()))
            .collect(),
        plaintext: in_prompt
            .into_iter()
            .filter(|(_, shown)| *shown == InPrompt::Secret)
            .map(|(name, _)| name)
            .collect(),
    };
    let destinations =
        config.credentials.iter().map(|(name, it)| (name.clone(), it.destinations.clone()));
    let settings = settings(destinations, config.mcp.allow_plaintext);
    // On a thread of its own: what is logged there is seen whole.
    let found = thread::spawn(move || observe(&servers, &settings, &canaries))
        .join()
        .map_err(|_| anyhow!("the turn panicked"))??;
    for Found { place, credentials } in &found {
        match credentials.as_slice() {
            [] => output.line(format!("ok: {place}")),
            names => output.line(format!("FOUND in {place}: {}", names.join(", "))),
        }
    }
    let places: Vec<_> =
        found.iter().map(|it| json!({ "place": it.place, "found": it.credentials })).collect();
    output.value(&json!({ "places": places }));
    let is_clean = found.iter().all(|it| it.credentials.is_empty());
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(servers: &Servers, project: &Path) -> anyhow::Result<Vec<Planned>> {
    let mut planned = Vec::new();
    for (id, server) in &servers.0 {
        let file = server.file();
        if !file.rules.passes_credentials() {
            continue;
        }
        let path = project.join(&file.path);
        let bytes = fs::read(&path).with_context(|| format!("{} is not readable", file.path))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let from_model = file.rules.from_model().map(|(name, it)| (name.to_owned(), it.to_owned()));
        planned.push(Planned {
            id: id.clone(),
            text,
            arguments: file.rules.argument_names().map(str::to_owned).collect(),
            from_model: from_model.collect(),
        });
    }
    Ok(planned)
}

/// The kitfox.toml of the copy: each credential comes with the request.
fn settings(
    credentials: impl Iterator<Item = (String, Vec<String>)>,
    allow_plaintext: bool,
) -> String {
    let mut all = Map::new();
    for (name, destinations) in credentials {
        let header = header_of(&name);
        let credential =
            json!({ "source": "request", "header": header, "destinations": destinations });
        all.insert(name, credential);
    }
    let mcp = json!({ "cross_server": "allow", "allow_plaintext": allow_plaintext });
    let root = json!({ "mcp": mcp, "agents": { "default": AGENT }, "credentials": all });
    toml::to_string(&root).unwrap_or_default()
}

fn header_of(credential: &str) -> String {
    format!("x-canary-{}", credential.to_lowercase())
}

/// Runs the turn, and looks everywhere.
fn observe(servers: &[Planned], settings: &str, canaries: &Canaries) -> anyhow::Result<Vec<Found>> {
    let logs = Logs::default();
    let writer = logs.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let folder = Folder::new()?;
    let observed = tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run_turn(servers, settings, canaries, &folder.0))
    })?;
    let mut database = Vec::new();
    for file in fs::read_dir(folder.0.join("store"))? {
        database.extend(fs::read(file?.path())?);
    }
    let shown = |name: &str| canaries.plaintext.iter().any(|it| it == name);
    let look = |place, text: &str, may_show: bool| {
        let holds = |secret: &Secret| Scrubber::new([("", secret)], []).finds(text);
        let held =
            canaries.secrets.iter().filter(|(name, it)| !(may_show && shown(name)) && holds(it));
        Found { place, credentials: held.map(|(name, _)| name.clone()).collect() }
    };
    let mut found = vec![
        look("prompts and model requests", &observed.requests, true),
        look("events", &observed.events, false),
        look("the database", &String::from_utf8_lossy(&database), false),
        look("the log", &logs.text(), false),
        look("the state of the servers", &observed.state, false),
    ];
    // What was never sent could not leak.
    let sent = look("what was sent", &observed.sent, false).credentials;
    let passed = |server: &Planned| {
        server.from_model.iter().any(|(_, credential)| !sent.contains(credential))
    };
    if let Some(server) = servers.iter().find(|it| passed(it)) {
        let lost =
            server.from_model.iter().map(|(_, it)| it.clone()).filter(|it| !sent.contains(it));
        found.push(Found { place: "nothing: it was not sent", credentials: lost.collect() });
    }
    Ok(found)
}

/// All that can be seen of a turn.
struct Observed {
    requests: String,
    events: String,
    state: String,
    /// By the stand-ins.
    sent: String,
}

async fn run_turn(
    servers: &[Planned],
    settings: &str,
    canaries: &Canaries,
    folder: &Path,
) -> anyhow::Result<Observed> {
    let arguments = servers.iter().map(|it| (it.id.clone(), it.arguments.clone())).collect();
    let stand_in = StandIn::new(arguments).await?;
    write_copy(servers, settings, canaries, folder, stand_in.port()?)?;
    let model = Scripted::new(script(servers));
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
        let generation = app.generation();
        if let Some(err) = generation.errors.first() {
            return Err(anyhow!("the copy is not in force: {err}"));
        }
        let header = |name: &str| {
            let planted = canaries.secrets.iter().find(|(it, _)| header_of(it) == name);
            planted.map(|(_, secret)| secret.expose())
        };
        let context = RequestContext::gather(ContextSources {
            user: Some(User::new("header", "", "canary")),
            session_id: None,
            header: &header,
            visible_headers: &[],
            secret_names: generation.host.credentials.secret_names(),
            login_secrets: BTreeMap::new(),
            metadata: &[],
        });
        let events = converse(&app, context).await?;
        let state = format!("{:?}", generation.mcp.statuses());
        app.close().await;
        Ok((events, state))
    };
    let (events, state) = tokio::select! {
        turn = turn => turn?,
        () = stand_in.serve() => return Err(anyhow!("the stand-in for the servers ended")),
    };
    let requests = format!("{:?}", model.requests());
    Ok(Observed { requests, events, state, sent: stand_in.seen() })
}

/// One turn of a new thread: its events as JSON.
async fn converse(app: &App, context: RequestContext) -> anyhow::Result<String> {
    let input = json!({
        "content": [{ "type": "input_text", "text": "go" }],
        "attachments": [],
        "inference_options": {},
    });
    let body = json!({ "type": "threads.create", "params": { "input": input } });
    let request = Request::parse(body.to_string().as_bytes())?;
    let user = context.user.clone().context("there is a user")?;
    let links = Links { base: "http://localhost/chatkit".to_owned() };
    let answer = ops::chatkit(app, user, request, context, links, Client::Once).await?;
    let Answer::Stream(mut stream) = answer else { return Err(anyhow!("there was no turn")) };
    let mut text = String::new();
    while let Some(events) = stream.receiver.recv().await {
        text.push_str(&serde_json::to_string(&events)?);
    }
    Ok(text)
}

/// The project's servers, with a stand-in in the place of each.
fn write_copy(
    servers: &[Planned],
    settings: &str,
    canaries: &Canaries,
    folder: &Path,
    port: u16,
) -> anyhow::Result<()> {
    for part in ["plugins", "prompts", "store"] {
        fs::create_dir(folder.join(part))?;
    }
    fs::write(folder.join("kitfox.toml"), settings)?;
    let names = canaries.secrets.keys();
    let lines: Vec<_> =
        names.map(|name| format!("CREDENTIAL {name} {{{{ credential.{name} }}}}\n")).collect();
    let lines = lines.concat();
    fs::write(
        folder.join(format!("prompts/{AGENT}.md")),
        format!("---\ntitles: false\n---\nPass what stands here:\n{lines}"),
    )?;
    for Planned { id, text, .. } in servers {
        let mut file: Table = text.parse()?;
        let env = match file.remove("env") {
            Some(toml::Value::Table(env)) => env,
            _ => Table::new(),
        };
        let gone = [
            "command",
            "args",
            "inherit_env",
            "idle_timeout",
            "oauth",
            "approvals",
            "tools",
            "protocol",
        ];
        for key in gone {
            file.remove(key);
        }
        let url = format!("http://127.0.0.1:{port}/{id}");
        for (key, value) in [("transport", "http"), ("url", &url), ("approval", "never")] {
            file.insert(key.to_owned(), toml::Value::String(value.to_owned()));
        }
        if !env.is_empty() {
            // A program's variables go as headers.
            let headers = env.into_iter().map(|(name, value)| (format!("X-Env-{name}"), value));
            file.insert("headers".to_owned(), toml::Value::Table(headers.collect()));
        }
        fs::write(folder.join(format!("plugins/{id}.mcp.toml")), toml::to_string(&file)?)?;
    }
    Ok(())
}

/// A model that passes all on, tries to give it away, and says all that it was told.
fn script(servers: &[Planned]) -> Vec<ScriptedResponse> {
    let call = |server: &Planned, text: &str| {
        let mut arguments = json!({ "text": text });
        for (name, credential) in &server.from_model {
            arguments[name] = Value::String(format!(r"<<find CREDENTIAL {credential} (\S+)>>"));
        }
        ScriptedResponse::steps([ScriptedStep::call(&format!("{}__echo", server.id), &arguments)])
    };
    let mut script = Vec::new();
    for server in servers {
        for text in ["ok", "fail", "<<find (?s)CREDENTIAL.*>>"] {
            script.push(call(server, text));
        }
    }
    let all =
        "<<find (?s).*>>\n<<find (?s)it was sent.*>>\n<<find (?s)error: it was sent.*>>".to_owned();
    script.push(ScriptedResponse::steps([
        ScriptedStep::Reasoning(vec![all.clone()]),
        ScriptedStep::Text(vec![all]),
    ]));
    script
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What `kitfox doctor leaks` finds in a project whose servers are these.
    fn found(servers: &[(&str, &str)]) -> Vec<String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let planned: Vec<_> = servers
            .iter()
            .map(|(id, rules)| Planned {
                id: (*id).to_owned(),
                text: format!("transport = \"stdio\"\ncommand = \"x\"\n{rules}"),
                arguments: vec!["access_token".to_owned()],
                from_model: if rules.contains("[[arguments]]") {
                    vec![("access_token".to_owned(), "token".to_owned())]
                } else {
                    Vec::new()
                },
            })
            .collect();
        let destinations = servers.iter().map(|(id, _)| (*id).to_owned()).collect();
        let settings = settings([("token".to_owned(), destinations)].into_iter(), true);
        let canaries = Canaries {
            secrets: [("token".to_owned(), Secret::from("canary-0123456789".to_owned()))].into(),
            plaintext: Vec::new(),
        };
        let found = observe(&planned, &settings, &canaries).unwrap();
        found.iter().filter(|it| !it.credentials.is_empty()).map(|it| it.place.to_owned()).collect()
    }

    const SEALED: &str =
        "[[arguments]]\nname = \"access_token\"\ncredential = \"token\"\nmode = \"sealed\"\n";

    #[test]
    fn nothing_leaks_that_is_sealed_injected_or_of_the_environment() {
        assert_eq!(
            found(&[
                ("notes", SEALED),
                ("other", "env = { TOKEN = \"{{ credential.token }}\" }\n")
            ]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_secret_that_a_model_is_shown_is_found_with_it() {
        let found = found(&[("notes", &SEALED.replace("sealed", "plaintext"))]);
        assert_eq!(found, ["prompts and model requests"]);
    }
}
