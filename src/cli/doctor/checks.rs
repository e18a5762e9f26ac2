//! The whole set-up, part by part: what is right, what is not, and what to do.

use std::{path::Path, path::PathBuf, process::ExitCode, time::Duration};

use jiff::{Timestamp, fmt::rfc2822};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, json};
use tokio::{process::Command, time::timeout};

use crate::{
    app::App,
    chatkit::now,
    cli::{
        check,
        output::{Output, paint, plain},
    },
    config::{Api, AuthMode, Config, Environment, Measure, ProviderConfig, PublicUrlSource},
    context::RequestContext,
    mcp::{Caller, Word},
    model::client,
    telemetry::most_open_files,
    user::User,
};

/// For whoever is asked over the network.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of the disk that the database is on, in kilobytes.
const LITTLE_DISK: u64 = 1 << 20;
const NO_DISK: u64 = 100 << 10;
/// Each chat takes one file, and so does each request to a model.
const FEW_FILES: f64 = 4096.0;
/// What clocks may differ by before logins and links fail, in seconds.
const CLOCK: i64 = 30;

/// What was found of one part.
#[derive(Debug, Serialize)]
struct Finding {
    part: String,
    level: Level,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Error,
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, part: &str, text: impl Into<String>) {
        self.add(part, Level::Ok, text, None);
    }

    fn warning(&mut self, part: &str, text: impl Into<String>, remedy: &str) {
        self.add(part, Level::Warning, text, Some(remedy));
    }

    fn error(&mut self, part: &str, text: impl Into<String>, remedy: &str) {
        self.add(part, Level::Error, text, Some(remedy));
    }

    fn add(&mut self, part: &str, level: Level, text: impl Into<String>, remedy: Option<&str>) {
        let (part, remedy) = (part.to_owned(), remedy.map(str::to_owned));
        self.0.push(Finding { part, level, text: text.into(), remedy });
    }
}

pub async fn run(
    project: PathBuf,
    environment: Environment,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let app = match check::load_with_store(project, environment).await {
        Ok(app) => app,
        Err(errors) => {
            output.problems(&errors);
            output.value(&json!({ "ok": false, "errors": errors }));
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut findings = Findings::default();
    check_files(&app, &mut findings);
    check_store(&app, &mut findings).await;
    check_disk(&app.project, &mut findings).await;
    check_open_files(&mut findings);
    let config = app.generation().config.clone();
    check_addresses(&config, &mut findings);
    check_login(&config, &mut findings);
    check_providers(&config, &mut findings).await;
    check_servers(&app, &mut findings).await;
    // Programs that were started end with the command.
    app.close().await;
    let worst = findings.0.iter().any(|it| it.level == Level::Error);
    for finding in &findings.0 {
        show(finding, output);
    }
    output.value(&json!({ "ok": !worst, "findings": findings.0 }));
    Ok(if worst { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(finding: &Finding, output: Output) {
    let (word, color) = match finding.level {
        Level::Ok => ("ok      ", "32"),
        Level::Warning => ("warning ", "33"),
        Level::Error => ("error   ", "31"),
    };
    output.line(format!("{} {}: {}", paint(word, color), finding.part, plain(&finding.text)));
    if let Some(remedy) = &finding.remedy {
        output.line(format!("         {}", plain(remedy)));
    }
}

fn check_files(app: &App, findings: &mut Findings) {
    let generation = app.generation();
    let (agents, tools) = (generation.prompts.agents().count(), generation.tools.0.len());
    if generation.errors.is_empty() {
        findings.ok("files", format!("{agents} agents and {tools} tools are in force"));
    }
    for err in &generation.errors {
        let remedy = err.remedy.as_deref().unwrap_or("`kitfox check` says where");
        findings.error("files", err.to_string(), remedy);
    }
}

async fn check_store(app: &App, findings: &mut Findings) {
    match timeout(PATIENCE, app.store.check()).await {
        Ok(Ok(())) => findings.ok("store", "it can be read and written"),
        Ok(Err(err)) => findings.error("store", err.to_string(), "mend `url` under [store]"),
        Err(_) => findings.error("store", "it does not answer", "mend `url` under [store]"),
    }
    match timeout(PATIENCE, app.store.blobs().check()).await {
        Ok(Ok(())) => findings.ok("attachments", "they have a place"),
        Ok(Err(reason)) => {
            findings.error("attachments", reason, "mend `attachments` under [store]");
        }
        Err(_) => findings.error("attachments", "their place does not answer", "see its state"),
    }
}

/// By the system's own `df`, where there is one.
async fn check_disk(folder: &Path, findings: &mut Findings) {
    let output = Command::new("df").arg("-Pk").arg(folder).output().await;
    let Some(free) = output.ok().and_then(|it| free_kilobytes(&it.stdout)) else { return };
    let text = format!("{} MiB are free where the project is", free >> 10);
    match free {
        ..NO_DISK => findings.error("disk", text, "make room: nothing can be stored soon"),
        NO_DISK..LITTLE_DISK => findings.warning("disk", text, "make room"),
        LITTLE_DISK.. => findings.ok("disk", text),
    }
}

/// The fourth column of the second line.
fn free_kilobytes(df: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(df).ok()?;
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

fn check_open_files(findings: &mut Findings) {
    let Some(most) = most_open_files() else { return };
    let text = format!("{most} files and connections may be open at one time");
    if most < FEW_FILES {
        findings.warning("open files", text, "raise it: `ulimit -n 65536`, or `LimitNOFILE=65536`");
    } else {
        findings.ok("open files", text);
    }
}

fn check_addresses(config: &Config, findings: &mut Findings) {
    const PART: &str = "addresses";
    let server = &config.server;
    let text = format!("listens on {}, the chat is at {}", server.listen, server.public_url);
    if server.listens_on_loopback() {
        if server.is_public_url_loopback() {
            return findings.ok(PART, format!("{text}: for this machine alone"));
        }
        return findings.ok(PART, format!("{text}: for a proxy on this machine"));
    }
    if server.public_url_source == PublicUrlSource::Default || server.is_public_url_loopback() {
        return findings.warning(
            PART,
            format!("{text}: others are sent links that lead to their own machine"),
            "set `public_url` under [server] to what browsers use",
        );
    }
    if server.public_url.scheme() == "http" {
        return findings.warning(
            PART,
            format!("{text}: what users write, and their logins, can be read on the way"),
            "put it behind a proxy that speaks https, and set `public_url` to that",
        );
    }
    findings.ok(PART, text);
}

fn check_login(config: &Config, findings: &mut Findings) {
    const PART: &str = "logins and limits";
    if config.is_local() {
        return findings.ok(PART, "only this machine can reach the server");
    }
    let limits = [&config.limits.user, &config.limits.address];
    let has_limits = limits.iter().any(|it| Measure::ALL.iter().any(|at| it.of(*at).is_some()));
    if config.auth.modes.contains(&AuthMode::Session) {
        let is_limited = Measure::ALL.iter().any(|it| config.limits.address.of(*it).is_some());
        if !is_limited {
            return findings.warning(
                PART,
                "anybody may chat without a login, as much as they like, at your cost",
                "set limits under [limits.address], such as `turns_per_day = 200`",
            );
        }
    }
    if !has_limits {
        return findings.warning(
            PART,
            "no user and no address is limited",
            "set `turns_per_day` or `tokens_per_day` under [limits.user]",
        );
    }
    findings.ok(PART, "there are limits");
}

async fn check_providers(config: &Config, findings: &mut Findings) {
    if config.models.is_empty() {
        let remedy = "set OPENAI_API_KEY, or add [providers.NAME] and [models.default]";
        findings.error("models", "there is no model", remedy);
    }
    for (name, provider) in &config.providers {
        let part = format!("provider {name}");
        match provider.api {
            Api::Demo => findings.warning(
                &part,
                "the demo model answers, which knows nothing",
                "set OPENAI_API_KEY, or name a provider in kitfox.toml",
            ),
            Api::Scripted => findings.warning(&part, "it replays a file", "name another for use"),
            Api::Responses | Api::ChatCompletions => ask(&part, provider, findings).await,
        }
    }
}

/// Asks a provider for its models, which costs nothing, and by the way for the time.
async fn ask(part: &str, provider: &ProviderConfig, findings: &mut Findings) {
    let client = match client(provider.connect_timeout) {
        Ok(client) => client,
        Err(err) => {
            let remedy = "install the system's root certificates (package `ca-certificates`)";
            return findings.error(part, format!("no HTTPS client can be made: {err}"), remedy);
        }
    };
    let mut request = client.get(format!("{}/models", provider.base_url)).timeout(PATIENCE);
    if let Some(key) = &provider.api_key {
        request = request.bearer_auth(key.expose_secret());
    }
    for (name, value) in &provider.headers {
        request = request.header(name, value);
    }
    let response = match request.send().await {
        Ok(response) => response,
        Err(err) => {
            let text = format!("it cannot be reached: {}", err.without_url());
            return findings.error(
                part,
                text,
                "mend `base_url`, or let this machine connect there",
            );
        }
    };
    let date = response.headers().get("date").and_then(|it| it.to_str().ok());
    check_clock(date, now(), findings);
    match response.status().as_u16() {
        401 | 403 => findings.error(part, "it does not take the key", "mend `api_key`"),
        status @ 500.. => findings.warning(part, format!("it answers {status}"), "try again later"),
        // Not every server has a list of its models.
        _ => findings.ok(part, "it answers"),
    }
}

fn check_clock(date: Option<&str>, now: Timestamp, findings: &mut Findings) {
    let Some(theirs) = date.and_then(|it| rfc2822::parse(it).ok()) else { return };
    let behind = theirs.timestamp().as_second() - now.as_second();
    if behind.abs() > CLOCK {
        let text = format!("it differs from a provider's by {} s", behind.abs());
        findings.error("clock", text, "set it by NTP: logins and links depend on it");
    } else if !findings.0.iter().any(|it| it.part == "clock") {
        findings.ok("clock", "it is right");
    }
}

async fn check_servers(app: &App, findings: &mut Findings) {
    let generation = app.generation();
    if generation.mcp.0.is_empty() {
        return;
    }
    let request = RequestContext::of_user(User::new("header", "", "doctor"), &Map::new());
    let listing = generation.mcp.list_all(Caller { request: &request, thread: None });
    // Those that did not come to an answer say so below.
    let _ = timeout(PATIENCE, listing).await;
    for status in generation.mcp.statuses() {
        let part = format!("MCP server {}", status.id);
        let reason = status.reason.unwrap_or_else(|| status.state.name().to_owned());
        match status.state {
            Word::Ready => findings.ok(&part, format!("{} tools", status.tools.len())),
            Word::NeedsLogin => findings.ok(&part, "each user logs in to it"),
            Word::Stopped | Word::Connecting | Word::Failed => {
                findings.error(&part, reason, "`kitfox mcp inspect NAME` shows more");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(findings: &Findings) -> Vec<String> {
        findings.0.iter().map(|it| format!("{:?} {}", it.level, it.text)).collect()
    }

    #[test]
    fn a_clock_that_is_wrong_is_told() {
        let date = Some("Sat, 21 Nov 2026 12:00:00 GMT");
        let at = |text: &str| {
            let mut findings = Findings::default();
            check_clock(date, text.parse().unwrap(), &mut findings);
            shown(&findings)
        };
        assert_eq!(at("2026-11-21T12:00:10Z"), ["Ok it is right"]);
        let wrong = ["Error it differs from a provider's by 3600 s"];
        assert_eq!(at("2026-11-21T13:00:00Z"), wrong);
    }

    #[test]
    fn free_space_is_read_as_df_tells_it() {
        let df =
            b"Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 100 40 60 40% /\n";
        assert_eq!(free_kilobytes(df), Some(60));
        assert_eq!(free_kilobytes(b""), None);
    }

    #[track_caller]
    fn check_config(text: &str, check: fn(&Config, &mut Findings), expected: &str) {
        let config = Config::parse(Some(text), &Environment::default(), Path::new("/p")).unwrap();
        let mut findings = Findings::default();
        check(&config, &mut findings);
        let shown = shown(&findings).join("\n");
        assert!(shown.starts_with(expected), "{shown}");
    }

    #[test]
    fn addresses_that_others_cannot_use_are_told() {
        let check = |text: &str, expected| check_config(text, check_addresses, expected);
        check("", "Ok");
        check("server.listen = \"0.0.0.0:8000\"", "Warning");
        let public = "server = { listen = \"0.0.0.0:8000\", public_url = \"https://chat.test\" }";
        check(public, "Ok");
        check(&public.replace("https", "http"), "Warning");
        check("server.public_url = \"https://chat.test\"", "Ok");
    }

    #[test]
    fn a_chat_that_anybody_may_use_without_limit_is_told() {
        let public = "server = { listen = \"0.0.0.0:8000\", public_url = \"https://chat.test\" }\n";
        let check = |text: &str, expected| {
            check_config(&format!("{public}{text}"), check_login, expected);
        };
        check("", "Warning anybody");
        check("limits.address.turns_per_day = 9", "Ok");
        check("limits.user.turns_per_day = 9", "Warning anybody");
    }
}
