mod approvals;
mod client;
mod questions;
mod sse;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use rand::RngCore;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

use crate::{
    chatkit::{StructuredInput, ThreadItem, ThreadItemUpdate, ThreadStreamEvent},
    cli::output::{Output, bold, dim, red},
    config::{AuthMode, Config, Environment},
};

use self::{
    approvals::{Card, describe_card},
    client::{Client, Events},
};

#[derive(Debug, Args)]
pub struct Chat {
    /// Say this, print the answer, and end.
    message: Option<String>,
    /// The server; default: this project's `[server] public_url`.
    #[arg(long)]
    url: Option<String>,
    /// Who chats, where the server trusts a header (`auth.mode = "header"`).
    #[arg(long)]
    user: Option<String>,
    /// Go on in this thread.
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
}

const HELP: &str = "\
/threads   your threads        /open N    go on in thread N of that list (or by id)
/new       a new thread        /history   what was said in this thread
/tools     the agent's tools   /retry     answer your last message again
/delete    delete this thread  /quit      leave (Ctrl-D as well; Ctrl-C stops an answer)";

/// A chat in the terminal.
struct Session {
    client: Client,
    output: Output,
    thread: Option<String>,
    /// The last user message, for /retry.
    last_message: Option<String>,
    /// As /threads listed them.
    listed: Vec<String>,
    /// The message that is being printed came in pieces.
    streamed: bool,
    /// What waits for the user.
    cards: Vec<Card>,
    lines: Lines<BufReader<Stdin>>,
}

impl Chat {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let config = load_config(&project, &environment).await?;
        let url = self.url.unwrap_or_else(|| config.server.public_url.to_string());
        let headers = credentials(&config, &environment, self.user).await?;
        let mut session = Session {
            client: Client::new(&url, headers)?,
            output,
            thread: self.thread,
            last_message: None,
            listed: Vec::new(),
            streamed: false,
            cards: Vec::new(),
            lines: BufReader::new(tokio::io::stdin()).lines(),
        };
        match self.message {
            Some(message) => {
                let code = session.say(&message).await?;
                if session.cards.is_empty() || session.output.json {
                    return Ok(code);
                }
                session.decide().await
            }
            None => session.run(&url).await,
        }
    }
}

impl Session {
    async fn run(&mut self, url: &str) -> anyhow::Result<ExitCode> {
        let options: Value = self.client.get("/chatkit/options").await?.json().await?;
        let name = options["agent"]["name"].as_str().unwrap_or("the assistant");
        self.output.line(dim(&format!("chatting with {name} at {url} (/help shows the commands)")));
        if let Some(greeting) = options["greeting"].as_str() {
            self.output.line(greeting);
        }
        if self.thread.is_some() {
            self.show_history().await?;
            self.decide().await?;
        }
        loop {
            if std::io::stdin().is_terminal() {
                self.output.part(&bold("› "));
            }
            let Some(line) = self.lines.next_line().await? else { break };
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
            let done = match command {
                "/quit" | "/exit" | "/q" => break,
                "/help" => {
                    self.output.line(HELP);
                    Ok(())
                }
                "/threads" => self.list_threads().await,
                "/open" => self.open(argument.trim()).await,
                "/new" => {
                    self.thread = None;
                    self.cards.clear();
                    self.output.line(dim("a new thread begins with your next message"));
                    Ok(())
                }
                "/history" => self.show_history().await,
                "/tools" => self.list_tools().await,
                "/delete" => self.delete().await,
                "/retry" => self.retry().await,
                _ if command.starts_with('/') => {
                    self.output.line(format!("there is no command `{command}`: /help lists them"));
                    Ok(())
                }
                _ => self.say(line).await.map(|_| ()),
            };
            if let Err(err) = done {
                self.output.failed(&err);
            } else if let Err(err) = self.decide().await {
                self.output.failed(&err);
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn say(&mut self, text: &str) -> anyhow::Result<ExitCode> {
        let input = json!({
            "content": [{ "type": "input_text", "text": text }],
            "attachments": [],
            "inference_options": {},
        });
        // Whoever writes on has decided.
        self.cards.clear();
        let events = match &self.thread {
            Some(thread) => {
                let params = json!({ "thread_id": thread, "input": input });
                self.client.stream("threads.add_user_message", params).await?
            }
            None => self.client.stream("threads.create", json!({ "input": input })).await?,
        };
        self.show_stream(events).await
    }

    async fn retry(&mut self) -> anyhow::Result<()> {
        let (Some(thread), Some(item)) = (&self.thread, &self.last_message) else {
            bail!("there is no message of yours to answer again");
        };
        let params = json!({ "thread_id": thread, "item_id": item });
        self.cards.clear();
        let events = self.client.stream("threads.retry_after_item", params).await?;
        self.show_stream(events).await?;
        Ok(())
    }

    /// Prints an answer as it comes, with the tool calls that made it, where the server shows them.
    async fn show_stream(&mut self, mut events: Events) -> anyhow::Result<ExitCode> {
        let mut tools = match self.client.get("/api/events").await {
            Ok(_) if self.output.json => None,
            Ok(response) => Some(Events::from_response(response)),
            Err(_) => None,
        };
        let mut code = ExitCode::SUCCESS;
        let mut at_line_start = true;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                Some(Ok(event)) = next(&mut tools) => {
                    if event.name.as_deref() == Some("tool") {
                        self.show_tool(&event.data, &mut at_line_start);
                    }
                    continue;
                }
                _ = tokio::signal::ctrl_c() => {
                    self.output.line(dim(" [stopped]"));
                    return Ok(code);
                }
            };
            let Some(event) = event else { break };
            let event = event?;
            if self.output.json {
                self.output.value(&serde_json::from_str::<Value>(&event.data)?);
            }
            let event = serde_json::from_str(&event.data).context("an event is not understood")?;
            if matches!(event, ThreadStreamEvent::Error { .. }) {
                code = ExitCode::FAILURE;
            }
            self.show_event(event, &mut at_line_start);
        }
        if !at_line_start {
            self.output.line("");
        }
        Ok(code)
    }

    fn show_event(&mut self, event: ThreadStreamEvent, at_line_start: &mut bool) {
        match event {
            ThreadStreamEvent::ThreadCreated { thread } => {
                self.thread = Some(thread.id.to_string());
            }
            ThreadStreamEvent::ItemUpdated {
                update: ThreadItemUpdate::TextDelta { delta, .. },
                ..
            } => {
                self.output.part(&delta);
                self.streamed = true;
                *at_line_start = delta.ends_with('\n');
            }
            ThreadStreamEvent::ItemDone { item: ThreadItem::UserMessage(item) } => {
                self.last_message = Some(item.id.to_string());
            }
            ThreadStreamEvent::ItemDone { item } => match item {
                ThreadItem::AssistantMessage(message) => {
                    // What a plugin says comes whole.
                    if !std::mem::take(&mut self.streamed) {
                        self.output.line(message.text());
                    } else if !*at_line_start {
                        self.output.line("");
                    }
                    *at_line_start = true;
                }
                // They are asked one by one.
                ThreadItem::StructuredInput(_) if !self.output.json => self.note_card(&item),
                other => {
                    self.note_card(&other);
                    self.note(&describe(&other), at_line_start);
                }
            },
            ThreadStreamEvent::ProgressUpdate { text, .. } => self.note(&text, at_line_start),
            ThreadStreamEvent::Notice { message, .. } => self.note(&message, at_line_start),
            ThreadStreamEvent::Error { error } => {
                let text = error.message.unwrap_or_else(|| "the answer failed".to_owned());
                let hint = if error.allow_retry { " (/retry tries again)" } else { "" };
                self.note(&format!("{}{hint}", red(&text)), at_line_start);
            }
            ThreadStreamEvent::ThreadUpdated { .. }
            | ThreadStreamEvent::ItemAdded { .. }
            | ThreadStreamEvent::ItemUpdated { .. }
            | ThreadStreamEvent::ItemRemoved { .. }
            | ThreadStreamEvent::ItemReplaced { .. }
            | ThreadStreamEvent::StreamOptions { .. }
            | ThreadStreamEvent::ClientEffect { .. } => (),
        }
    }

    fn show_tool(&self, data: &str, at_line_start: &mut bool) {
        let Ok(call) = serde_json::from_str::<Value>(data) else { return };
        if self.thread.as_deref().is_some_and(|thread| call["thread_id"] != thread) {
            return;
        }
        let text = |key: &str| call[key].as_str().unwrap_or_default().to_owned();
        let arrow = if call["failed"] == true { red("✗") } else { "→".to_owned() };
        self.note(
            &format!("{} {} {arrow} {}", text("tool"), text("arguments"), short(&text("output"))),
            at_line_start,
        );
    }

    /// A line of its own, between what is said.
    fn note(&self, text: &str, at_line_start: &mut bool) {
        if !*at_line_start {
            self.output.line("");
        }
        self.output.line(dim(&format!("  {text}")));
        *at_line_start = true;
    }

    async fn list_threads(&mut self) -> anyhow::Result<()> {
        let page = self.client.call("threads.list", json!({ "limit": 20 })).await?;
        self.listed.clear();
        for thread in page["data"].as_array().into_iter().flatten() {
            let id = thread["id"].as_str().unwrap_or_default().to_owned();
            let title = thread["title"].as_str().unwrap_or("(no title)");
            let here = if self.thread.as_ref() == Some(&id) { "*" } else { " " };
            self.listed.push(id);
            self.output.line(format!("{here}{:>3}  {title}", self.listed.len()));
        }
        if self.listed.is_empty() {
            self.output.line("there are no threads yet: say something");
        }
        self.output.value(&page);
        Ok(())
    }

    async fn open(&mut self, which: &str) -> anyhow::Result<()> {
        let id = match which.parse::<usize>() {
            Ok(number) => match number.checked_sub(1).and_then(|index| self.listed.get(index)) {
                Some(id) => id.clone(),
                None => bail!("there is no thread {number} in the list: /threads shows it"),
            },
            Err(_) => which.to_owned(),
        };
        self.client.call("threads.get_by_id", json!({ "thread_id": id })).await?;
        self.thread = Some(id);
        self.last_message = None;
        self.show_history().await
    }

    async fn show_history(&mut self) -> anyhow::Result<()> {
        let Some(thread) = &self.thread else { bail!("nothing was said in this thread yet") };
        let params = json!({ "thread_id": thread, "limit": 40, "order": "desc" });
        let page = self.client.call("items.list", params).await?;
        self.cards.clear();
        if page["has_more"] == true {
            self.output.line(dim("  …"));
        }
        for item in page["data"].as_array().into_iter().flatten().rev() {
            let Ok(item) = serde_json::from_value::<ThreadItem>(item.clone()) else { continue };
            self.note_card(&item);
            match &item {
                ThreadItem::UserMessage(message) => {
                    self.last_message = Some(message.id.to_string());
                    self.output.line(format!("{}{}", bold("› "), message.text()));
                }
                ThreadItem::AssistantMessage(message) => self.output.line(message.text()),
                other => self.output.line(dim(&format!("  {}", describe(other)))),
            }
        }
        self.output.value(&page);
        Ok(())
    }

    async fn list_tools(&mut self) -> anyhow::Result<()> {
        let tools: Value = self.client.get("/api/tools").await?.json().await?;
        for tool in tools.as_array().into_iter().flatten() {
            let text = |key: &str| tool[key].as_str().unwrap_or_default();
            self.output.line(format!("{}  {}", bold(text("name")), text("description")));
        }
        self.output.value(&tools);
        Ok(())
    }

    async fn delete(&mut self) -> anyhow::Result<()> {
        let Some(thread) = self.thread.take() else { bail!("there is no thread to delete") };
        self.client.call("threads.delete", json!({ "thread_id": thread })).await?;
        self.cards.clear();
        self.last_message = None;
        self.output.line(dim("deleted; a new thread begins with your next message"));
        Ok(())
    }
}

async fn next(events: &mut Option<Events>) -> Option<anyhow::Result<sse::ServerEvent>> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// An item that is no message, in a line.
fn describe(item: &ThreadItem) -> String {
    let json = serde_json::to_value(item).unwrap_or_default();
    let kind = json["type"].as_str().unwrap_or("item").replace('_', " ");
    match item {
        ThreadItem::Task(item) => match &item.task {
            crate::chatkit::Task::Custom { title, content, .. } => {
                let parts: Vec<&str> =
                    [title, content].into_iter().flatten().map(String::as_str).collect();
                format!("[{}]", parts.join(": "))
            }
            crate::chatkit::Task::WebSearch { .. }
            | crate::chatkit::Task::Thought { .. }
            | crate::chatkit::Task::File { .. }
            | crate::chatkit::Task::Image { .. } => format!("[{kind}]"),
        },
        ThreadItem::ClientToolCall(call) => {
            format!("[{kind}: {}, which only a page can run]", call.name)
        }
        ThreadItem::StructuredInput(item) => {
            let questions: Vec<String> = item.inputs.iter().map(describe_question).collect();
            format!("[{}]", questions.join("; "))
        }
        ThreadItem::Widget(item) => {
            describe_card(&item.widget.0).unwrap_or_else(|| format!("[{kind}]"))
        }
        ThreadItem::UserMessage(_)
        | ThreadItem::AssistantMessage(_)
        | ThreadItem::GeneratedImage(_)
        | ThreadItem::Workflow(_)
        | ThreadItem::HiddenContextItem(_)
        | ThreadItem::SdkHiddenContext(_)
        | ThreadItem::EndOfTurn(_) => format!("[{kind}]"),
    }
}

/// A question with its answer, or with what can be answered.
fn describe_question(input: &StructuredInput) -> String {
    let (question, options) = match input {
        StructuredInput::MultipleChoice { question, options, .. } => (question, &options[..]),
        StructuredInput::Freeform { question, .. } => (question, &[][..]),
    };
    let options: Vec<&str> = options.iter().map(|it| it.value.as_str()).collect();
    match input.answer() {
        Some(answer) if answer.skipped => format!("{question} (skipped)"),
        Some(answer) => format!("{question} {}", answer.values.join(", ")),
        None if options.is_empty() => question.clone(),
        None => format!("{question} ({})", options.join(", ")),
    }
}

fn short(text: &str) -> String {
    let line: String =
        text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(200).collect();
    if line.len() < text.len() { format!("{line}…") } else { line }
}

async fn load_config(project: &Path, environment: &Environment) -> anyhow::Result<Config> {
    let text = match tokio::fs::read_to_string(project.join("kitfox.toml")).await {
        Ok(text) => Some(text),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => None,
        Err(err) => return Err(err).context("cannot read kitfox.toml"),
    };
    Config::parse(text.as_deref(), environment, project).map_err(|errors| {
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}

/// What tells the server who chats: a token, the header that it trusts, or a session of this machine's user.
async fn credentials(
    config: &Config,
    environment: &Environment,
    user: Option<String>,
) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(token) = environment.get("KITFOX_TOKEN").filter(|it| !it.is_empty()) {
        let mut value =
            HeaderValue::try_from(format!("Bearer {token}")).context("`KITFOX_TOKEN`")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        return Ok(headers);
    }
    if config.auth.modes == [AuthMode::Header] || user.is_some() {
        let name = HeaderName::try_from(config.auth.header.as_str()).context("`auth.header`")?;
        let user = user.unwrap_or_else(|| "cli".to_owned());
        headers.insert(name, HeaderValue::try_from(user).context("`--user`")?);
        return Ok(headers);
    }
    let session = session_id(environment).await?;
    headers.insert("x-session-id", HeaderValue::try_from(session)?);
    Ok(headers)
}

/// The session that `kitfox chat` keeps for this machine's user, so that threads are there next time.
async fn session_id(environment: &Environment) -> anyhow::Result<String> {
    let variable =
        |name: &str| environment.0.get(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let folder = variable("XDG_STATE_HOME")
        .or_else(|| Some(variable("HOME")?.join(".local/state")))
        .context("neither HOME nor XDG_STATE_HOME is set: name yourself with `--user`")?
        .join("kitfox");
    let path = folder.join("session");
    if let Ok(text) = tokio::fs::read_to_string(&path).await
        && text.trim().len() >= 16
    {
        return Ok(text.trim().to_owned());
    }
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    let session = uuid::Uuid::from_bytes(bytes).simple().to_string();
    tokio::fs::create_dir_all(&folder).await.context("cannot keep the session")?;
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(&path).await.context("cannot keep the session")?;
    tokio::io::AsyncWriteExt::write_all(&mut file, session.as_bytes())
        .await
        .context("cannot keep the session")?;
    tokio::io::AsyncWriteExt::flush(&mut file).await.context("cannot keep the session")?;
    Ok(session)
}
