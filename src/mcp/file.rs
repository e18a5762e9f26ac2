use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rmcp::model::ProtocolVersion;
use url::Url;

use crate::{
    config::{
        Config, StdioPolicy,
        document::{Field, Node, Reader, Table},
    },
    credential::{Credentials, OwnLogin, PassRules},
    load_error::LoadError,
    oauth::{self, At, Preregistered},
    prompt::ToolGlobs,
    tool::Approval,
    user::Allow,
};

/// What a `plugins/NAME.mcp.toml` says, with every default filled in.
pub struct ServerFile {
    /// `notes`, of `plugins/notes.mcp.toml`.
    pub id: String,
    /// `plugins/notes.mcp.toml`
    pub path: String,
    pub transport: Transport,
    pub protocol: Protocol,
    /// None: one connection as long as no user's headers need one of their own.
    pub pool: Option<Pool>,
    /// Over the server's own names of its tools.
    pub tools: ToolGlobs,
    pub approval: Approval,
    /// By the server's own name of a tool.
    pub approvals: BTreeMap<String, Approval>,
    pub instructions: Instructions,
    /// Of a call, from its beginning or the last progress.
    pub timeout: Duration,
    /// How long a call that is under way waits for what the user answers.
    pub answer_timeout: Duration,
    /// Of a result's text, as the model gets it.
    pub max_result_bytes: usize,
    pub on_change: OnChange,
    /// `headers`, `[[arguments]]` and `env`.
    pub rules: PassRules,
    /// Whose turns may use the server.
    pub allow: Allow,
}

#[derive(Debug, Clone)]
pub enum Transport {
    Http { url: Url },
    Stdio(Program),
}

/// A program that is started as a server.
#[derive(Debug, Clone)]
pub struct Program {
    /// As it was written.
    pub command: String,
    /// Where it is.
    pub path: PathBuf,
    pub arguments: Vec<String>,
    /// Of Kitfox's own environment, what the program gets too.
    pub inherited: BTreeMap<String, String>,
    /// Without a call for so long it is stopped, until the next one.
    pub idle_timeout: Duration,
}

/// Which revision of the protocol is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// The newest that the server knows.
    Auto,
    Fixed(ProtocolVersion),
}

/// Who shares a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    Shared,
    PerUser,
    PerThread,
}

/// What becomes of the server's own instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Instructions {
    #[default]
    Ignore,
    /// They are added to the agent's.
    Include,
}

/// What becomes of a tool that is not as it was when it was listed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnChange {
    #[default]
    Warn,
    Block,
}

/// How a server's id ends a file's name.
pub const ENDING: &str = ".mcp.toml";

const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_TIMEOUT: Duration = Duration::from_mins(15);
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);
const MAX_RESULT_BYTES: usize = 256 * 1024;
/// Of an id.
const MAX_ID: usize = 24;

const COMMON: &[&str] = &[
    "transport",
    "protocol",
    "pool",
    "tools",
    "approval",
    "approvals",
    "arguments",
    "instructions",
    "timeout",
    "answer_timeout",
    "max_result_bytes",
    "on_change",
    "allow",
];
const HTTP: &[&str] = &["url", "headers", "oauth"];
const STDIO: &[&str] = &["command", "args", "env", "inherit_env", "idle_timeout"];

/// What a file is read against: the operator's word, and where programs are found.
pub struct Surroundings<'a> {
    pub config: &'a Config,
    pub credentials: &'a Arc<Credentials>,
    pub project: &'a Path,
    /// A variable of Kitfox's own environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl ServerFile {
    /// Parses the text of the file at `path`, with all its mistakes told at once.
    pub fn parse(
        path: &str,
        text: &str,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, Vec<LoadError>> {
        let id = id_of(path).map_err(|err| vec![err])?;
        let reader = Reader::new(path);
        let file = Node::from_toml(text, &reader)
            .and_then(|node| read(id, path, &reader, node, surroundings));
        let errors = reader.into_errors();
        match file {
            Some(file) if errors.is_empty() => Ok(file),
            _ if errors.is_empty() => Err(vec![LoadError::new(path, "the file cannot be read")]),
            _ => Err(errors),
        }
    }

    /// What the user is asked before a call of this tool, by the server's own name.
    pub fn approval_of(&self, tool: &str) -> Approval {
        self.approvals.get(tool).copied().unwrap_or(self.approval)
    }
}

fn id_of(path: &str) -> Result<String, LoadError> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let id = name.strip_suffix(ENDING).unwrap_or(name);
    let is_id = id.starts_with(|it: char| it.is_ascii_lowercase())
        && id.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-')
        && id.len() <= MAX_ID;
    if !is_id {
        return Err(LoadError::new(path, format!("`{id}` is no id of a server")).remedy(
            "rename the file: it begins with a lower-case letter and goes on with lower-case letters, digits and \
             `-`, at most 24 in all, before `.mcp.toml`",
        ));
    }
    Ok(id.to_owned())
}

fn read(
    id: String,
    path: &str,
    reader: &Reader,
    node: Node,
    surroundings: &Surroundings<'_>,
) -> Option<ServerFile> {
    let table = reader.root(node).map()?;
    let transport = read_transport(&table, surroundings);
    let mut rules = PassRules::read(&table, &id, surroundings.credentials);
    if let Some(login) = read_login(&table, &id, &rules, transport.as_ref(), surroundings) {
        rules = rules.with_login(login);
    }
    let words = approval_words();
    let approvals = table.map("approvals");
    Some(ServerFile {
        id,
        path: path.to_owned(),
        transport: transport?,
        protocol: table.get("protocol").and_then(|it| read_protocol(&it)).unwrap_or(Protocol::Auto),
        pool: table.get("pool").and_then(|it| {
            it.word(&[
                ("shared", Pool::Shared),
                ("per_user", Pool::PerUser),
                ("per_thread", Pool::PerThread),
            ])
        }),
        tools: table.get("tools").and_then(|it| read_globs(&it)).unwrap_or_default(),
        approval: table
            .get("approval")
            .and_then(|it| it.word(&words))
            .unwrap_or(Approval::Destructive),
        approvals: approvals
            .fields()
            .into_iter()
            .filter_map(|(key, field)| Some((key.name, field.word(&words)?)))
            .collect(),
        instructions: table
            .get("instructions")
            .and_then(|it| {
                it.word(&[("ignore", Instructions::Ignore), ("include", Instructions::Include)])
            })
            .unwrap_or_default(),
        timeout: table
            .get("timeout")
            .and_then(|it| it.duration(Duration::from_millis(1)))
            .unwrap_or(TIMEOUT),
        answer_timeout: table
            .get("answer_timeout")
            .and_then(|it| it.duration(Duration::from_secs(1)))
            .unwrap_or(ANSWER_TIMEOUT),
        max_result_bytes: table
            .get("max_result_bytes")
            .and_then(|it| it.count(1))
            .unwrap_or(MAX_RESULT_BYTES),
        on_change: table
            .get("on_change")
            .and_then(|it| it.word(&[("warn", OnChange::Warn), ("block", OnChange::Block)]))
            .unwrap_or_default(),
        rules,
        allow: table.allow(),
    })
}

/// Where the server's users log in to it: as `[oauth]` says; where nobody says anything, once the server asks for it.
fn read_login(
    table: &Table<'_>,
    id: &str,
    rules: &PassRules,
    transport: Option<&Transport>,
    surroundings: &Surroundings<'_>,
) -> Option<OwnLogin> {
    let accounts = surroundings.credentials.accounts().clone();
    let Some(field) = table.get("oauth") else {
        let Some(Transport::Http { url }) = transport else { return None };
        // Whoever says what the server is sent has said who asks.
        if rules.passes_credentials() || rules.has_headers() {
            return None;
        }
        let target = oauth::Target {
            key: oauth::Target::of_server(id),
            label: id.to_owned(),
            at: At::Challenged { resource: url.clone(), challenge: None },
            scopes: Vec::new(),
            client: None,
        };
        return Some(OwnLogin::on_demand(accounts, target));
    };
    if field.find_boolean() == Some(false) {
        return None;
    }
    let target = read_oauth(&field, id, transport, surroundings)?;
    let headers = table.map("headers").fields();
    if let Some((_, field)) =
        headers.iter().find(|(key, _)| key.name.eq_ignore_ascii_case("authorization"))
    {
        field.refuse_with_remedy(
            "`headers` sets `Authorization`, and `[oauth]` does so too",
            "leave one of them out",
        );
    }
    Some(OwnLogin::named(accounts, target))
}

fn read_oauth(
    field: &Field<'_>,
    id: &str,
    transport: Option<&Transport>,
    surroundings: &Surroundings<'_>,
) -> Option<oauth::Target> {
    let table = field.table(&["label", "scopes", "client_id", "client_secret"])?;
    let text = |key: &str| table.get(key).and_then(|it| it.text_not_empty());
    let secret = table.get("client_secret").and_then(|it| {
        let written = it.text_not_empty()?;
        let Some(name) = written.strip_prefix("${").and_then(|it| it.strip_suffix('}')) else {
            it.refuse_with_remedy("`oauth.client_secret` stands in the file", "write `\"${NAME}\"`, and set that");
            return None;
        };
        let value = (surroundings.variable)(name);
        if value.is_none() {
            it.refuse_with_remedy(
                format!("`oauth.client_secret` names the environment variable `{name}`, which is not set"),
                "set it",
            );
        }
        value
    });
    let client_id = text("client_id");
    if client_id.is_none() && secret.is_some() {
        field.refuse_with_remedy(
            "`oauth` has a `client_secret` and no `client_id`",
            "add the `client_id`",
        );
    }
    if let Err(err) = surroundings.credentials.accounts().vault().keys().check() {
        field.refuse(format!("nobody can log in: {err}"));
    }
    let Some(Transport::Http { url }) = transport else { return None };
    Some(oauth::Target {
        key: oauth::Target::of_server(id),
        label: text("label").unwrap_or_else(|| id.to_owned()),
        at: At::Resource(url.clone()),
        scopes: table.get("scopes").and_then(|it| it.texts()).unwrap_or_default(),
        client: client_id.map(|id| Preregistered { id, secret: secret.map(Into::into) }),
    })
}

const fn approval_words() -> [(&'static str, Approval); 3] {
    [
        ("never", Approval::Never),
        ("destructive", Approval::Destructive),
        ("always", Approval::Always),
    ]
}

fn read_transport(table: &Table<'_>, surroundings: &Surroundings<'_>) -> Option<Transport> {
    let Some(kind) = table.get("transport") else {
        table.check_keys(&[COMMON, HTTP, STDIO].concat());
        table.refuse(
            "the file names no `transport`",
            "add `transport = \"http\"` with a `url`, or `transport = \"stdio\"` with a `command`",
        );
        return None;
    };
    match kind.word(&[("http", true), ("stdio", false)]) {
        Some(true) => {
            refuse_others(table, HTTP, STDIO, "http");
            read_url(table).map(|url| Transport::Http { url })
        }
        Some(false) => {
            refuse_others(table, STDIO, HTTP, "stdio");
            read_program(table, surroundings).map(Transport::Stdio)
        }
        None => None,
    }
}

/// Keys of the other transport are told as such, and not as unknown.
fn refuse_others(table: &Table<'_>, own: &[&str], others: &[&str], transport: &str) {
    let known = [COMMON, own].concat();
    table.check_keys(&[&known, others].concat());
    for key in others {
        if let Some(field) = table.get(key) {
            field.refuse_with_remedy(
                format!("`{key}` is not for the transport `{transport}`"),
                "take it out",
            );
        }
    }
}

fn read_url(table: &Table<'_>) -> Option<Url> {
    let Some(field) = table.get("url") else {
        table.refuse("the transport `http` needs a `url`", "add `url = \"https://…/mcp\"`");
        return None;
    };
    let text = field.text_not_empty()?;
    if text.contains("{{") || text.contains("${") {
        field.refuse_with_remedy(
            "`url` takes no templates and no variables",
            "write the URL itself, and pass what differs from user to user as `headers`",
        );
        return None;
    }
    let url = match Url::parse(&text) {
        Ok(url) => url,
        Err(err) => {
            field.refuse_with_remedy(format!("`url` is no URL: {err}"), "write `https://…/mcp`");
            return None;
        }
    };
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        field.refuse_with_remedy("`url` must begin with `https://` or `http://`", "mend it");
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        field.refuse_with_remedy(
            "`url` holds a user's name or password",
            "take them out, and pass them by `headers = { Authorization = \"…\" }` with a credential",
        );
        return None;
    }
    Some(url)
}

fn read_program(table: &Table<'_>, surroundings: &Surroundings<'_>) -> Option<Program> {
    let Some(field) = table.get("command") else {
        table.refuse(
            "the transport `stdio` needs a `command`",
            "add `command = \"/usr/local/bin/server\"`, and its arguments as `args`",
        );
        return None;
    };
    let command = field.text_not_empty()?;
    let is_allowed = match &surroundings.config.mcp.stdio {
        StdioPolicy::Any => true,
        StdioPolicy::Only(commands) => commands.contains(&command),
    };
    if !is_allowed {
        field.refuse_with_remedy(
            format!("kitfox.toml does not allow that `{command}` is started"),
            format!(
                "the operator allows it by `stdio = [\"{command}\"]` under [mcp] in kitfox.toml, or any by `stdio = \
                 true`"
            ),
        );
    }
    let path = find_program(&command, surroundings);
    if path.is_none() {
        let remedy = if command.contains(' ') {
            "`command` is the program alone, and each of its arguments is an entry of `args`"
        } else {
            "install it, or write its whole path"
        };
        field.refuse_with_remedy(format!("there is no program `{command}`"), remedy);
    }
    let arguments = table.get("args").and_then(|it| read_texts(&it)).unwrap_or_default();
    let inherited = table.get("inherit_env").and_then(|it| it.texts()).unwrap_or_default();
    let inherited = inherited
        .into_iter()
        .filter_map(|name| (surroundings.variable)(&name).map(|value| (name, value)))
        .collect();
    let idle_timeout = table.get("idle_timeout").and_then(|it| it.duration(Duration::from_secs(1)));
    Some(Program {
        command,
        path: path?,
        arguments,
        inherited,
        idle_timeout: idle_timeout.unwrap_or(IDLE_TIMEOUT),
    })
}

/// Arguments may be empty.
fn read_texts(field: &Field<'_>) -> Option<Vec<String>> {
    let texts: Vec<_> = field.list()?.iter().map(Field::text).collect();
    texts.into_iter().collect()
}

/// Where a shell would find it; a path with a slash is meant from the project's folder.
fn find_program(command: &str, surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    if command.contains('/') {
        let path = surroundings.project.join(command);
        return is_program(&path).then_some(path);
    }
    let path = (surroundings.variable)("PATH").unwrap_or_else(|| "/usr/bin:/bin".to_owned());
    std::env::split_paths(&path).map(|folder| folder.join(command)).find(|it| is_program(it))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

fn read_protocol(field: &Field<'_>) -> Option<Protocol> {
    field
        .word(&[
            ("auto", None),
            ("2025-06-18", Some(0)),
            ("2025-11-25", Some(1)),
            ("2026-07-28", Some(2)),
        ])
        .map(|word| match word {
            None => Protocol::Auto,
            Some(0) => Protocol::Fixed(ProtocolVersion::V_2025_06_18),
            Some(1) => Protocol::Fixed(ProtocolVersion::V_2025_11_25),
            Some(_) => Protocol::Fixed(ProtocolVersion::V_2026_07_28),
        })
}

fn read_globs(field: &Field<'_>) -> Option<ToolGlobs> {
    let patterns = field.texts()?;
    match ToolGlobs::new(patterns) {
        Ok(globs) => Some(globs),
        Err((index, reason)) => {
            field.refuse_with_remedy(
                format!("`tools[{index}]` is no glob: {reason}"),
                "write names with `*` for any characters, and `!` before what is left out",
            );
            None
        }
    }
}
