//! kitfox.toml: what the operator decides.

pub mod document;
mod environment;
mod parse;
mod quota;
mod telemetry;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::{load_error::LoadError, net::Networks, user::Allow};

pub use self::{
    environment::Environment,
    quota::{Measure, Quota, RetentionConfig},
    telemetry::{AuditConfig, LogFormat, MetricsConfig, TelemetryConfig, TracesConfig},
};

/// The whole configuration, with every default filled in.
#[derive(Debug, Clone)]
pub struct Config {
    pub project: ProjectConfig,
    pub server: ServerConfig,
    pub store: StoreConfig,
    pub auth: AuthConfig,
    pub providers: BTreeMap<String, ProviderConfig>,
    /// Holds `default`, save in one case: no provider is configured, `OPENAI_API_KEY` is not set, and
    /// the server listens on more than loopback. Then this and `providers` are empty, the server runs,
    /// and whoever asks for a model says the remedy.
    pub models: BTreeMap<String, ModelConfig>,
    pub agents: AgentsConfig,
    pub prompts: PromptsConfig,
    pub plugins: PluginsConfig,
    pub mcp: McpConfig,
    /// By name: what plugins and MCP servers may be passed of a user's secrets.
    pub credentials: BTreeMap<String, CredentialConfig>,
    /// Own paths of plugin routes: `/cats` → `cat-lounge`.
    pub routes: BTreeMap<String, String>,
    /// None: speech is not transcribed.
    pub transcribe: Option<TranscribeConfig>,
    pub limits: Limits,
    pub page: PageConfig,
    pub retention: RetentionConfig,
    pub telemetry: TelemetryConfig,
    pub metrics: MetricsConfig,
    pub audit: AuditConfig,
}

#[derive(Debug, Clone)]
pub struct ProjectConfig {
    /// `[project] name`, default: the folder's name.
    pub name: String,
}

#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `host:port`, default `127.0.0.1:8000`.
    pub listen: String,
    /// `scheme://host[:port]`, as browsers send them.
    pub cors_origins: Vec<String>,
    /// Default `http://localhost:PORT`. A path has no slash at its end; a URL without a path has, as
    /// [`Url`] writes it.
    pub public_url: Url,
    /// Whether the file says it, or it was made up.
    pub public_url_source: PublicUrlSource,
    /// Default `["/chatkit"]`.
    pub chatkit_paths: Vec<String>,
    /// Lower case.
    pub visible_headers: Vec<String>,
    /// How long running turns may go on at shutdown; default 20 s.
    pub shutdown_grace: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicUrlSource {
    Written,
    Default,
}

#[derive(Clone)]
pub struct StoreConfig {
    /// `sqlite://kitfox.db`, relative to the project; `sqlite::memory:`; `postgres://user@host/database`;
    /// `mysql://user@host/database`.
    pub url: String,
    /// In place of the URL's.
    pub password: Option<SecretString>,
    /// Connections to a database server at most; default 10.
    pub pool: u32,
    /// Default 5 s.
    pub connect_timeout: Duration,
    /// How long a request waits for a connection; default 5 s.
    pub acquire_timeout: Duration,
    /// How long a statement may take on a database server; default 30 s.
    pub statement_timeout: Duration,
    /// `file://attachments`, relative to the project; `s3://…`, `gs://…`, `az://…`.
    pub attachments: String,
    /// The file of the vault's keys, relative to the project; default `kitfox.keys`.
    pub keys: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// Never empty.
    pub modes: Vec<AuthMode>,
    /// For [`AuthMode::Header`], default `X-User-ID`.
    pub header: String,
    /// For [`AuthMode::Header`]: from where it counts. None: from wherever the server can be reached, which is its own
    /// machine then.
    pub trusted_proxies: Option<Networks>,
    /// For [`AuthMode::Token`], by the ids of their users.
    pub tokens: BTreeMap<String, BearerToken>,
    /// There is one where [`AuthMode::Jwt`] is among the modes.
    pub jwt: Option<JwtConfig>,
    /// There is one where [`AuthMode::Oidc`] is among the modes.
    pub oidc: Option<OidcConfig>,
}

/// `[auth.oidc]`: where users log in.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// Which ID tokens count, and how they name users.
    pub tokens: JwtConfig,
    pub client_id: String,
    /// None: a public client, which PKCE alone protects.
    pub client_secret: Option<SecretString>,
    /// Default: `openid`, `profile` and `email`.
    pub scopes: Vec<String>,
    /// What the page's button says of it; default: the issuer's host.
    pub label: String,
    /// Sent along to the provider: `audience`, `prompt`, `hd`.
    pub parameters: BTreeMap<String, String>,
    /// A login that is not used for so long ends; default 8 h.
    pub idle_timeout: Duration,
    /// No login lasts longer; default 24 h.
    pub lifetime: Duration,
}

impl PartialEq for OidcConfig {
    fn eq(&self, other: &Self) -> bool {
        let secret = |it: &Self| it.client_secret.as_ref().map(|it| it.expose_secret().to_owned());
        let plain = |it: &Self| {
            let times = (it.idle_timeout, it.lifetime);
            (
                it.client_id.clone(),
                it.scopes.clone(),
                it.label.clone(),
                it.parameters.clone(),
                times,
            )
        };
        self.tokens == other.tokens && plain(self) == plain(other) && secret(self) == secret(other)
    }
}

impl Eq for OidcConfig {}

/// `[auth.tokens.ID]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerToken {
    /// SHA-256 of the tokens that count for this user: two while one is being replaced.
    pub hashes: Vec<[u8; 32]>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub org: Option<String>,
    pub roles: Vec<String>,
}

/// `[auth.jwt]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtConfig {
    /// As the claim `iss` has it, byte for byte.
    pub issuer: String,
    /// The claim `aud` must hold one of them. Never empty.
    pub audience: Vec<String>,
    pub keys: JwtKeys,
    /// Names of RFC 7518; default: all that sign with a private key.
    pub algorithms: Vec<&'static str>,
    /// What clocks may differ by; default 60 s.
    pub leeway: Duration,
    pub claims: ClaimNames,
}

/// Where the keys are that tokens are verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwtKeys {
    /// Where the issuer's `/.well-known/openid-configuration` says.
    Discovered,
    /// A JWKS (RFC 7517).
    Url(Url),
    /// The same in a file, with the project's folder before it.
    File(PathBuf),
}

/// Which claims say who the user is: a name, or a path with dots (`realm_access.roles`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// Default `sub`.
    pub user: String,
    pub name: String,
    pub email: String,
    pub org: String,
    pub roles: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    Session,
    Header,
    /// A secret that the operator gave out.
    Token,
    /// A token that an identity provider signed.
    Jwt,
    /// The browser was sent to an identity provider, and came back.
    Oidc,
}

impl AuthMode {
    /// As `auth.mode` has it, and the keys of users.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Header => "header",
            Self::Token => "token",
            Self::Jwt => "jwt",
            Self::Oidc => "oidc",
        }
    }
}

#[derive(Clone)]
pub struct ProviderConfig {
    /// Default: `responses` at `OpenAI`, `chat_completions`, which more servers speak, elsewhere.
    pub api: Api,
    /// Default: that of `OpenAI`. Without a slash at the end, without a password.
    pub base_url: String,
    pub api_key: Option<SecretString>,
    /// Sent with every request.
    pub headers: BTreeMap<String, String>,
    /// For [`Api::Scripted`]: the file that is replayed, with the project's folder before it.
    pub file: Option<PathBuf>,
    /// Default 10 s.
    pub connect_timeout: Duration,
    /// Default 120 s.
    pub first_byte_timeout: Duration,
    /// Between two pieces of an answer; default 120 s.
    pub idle_timeout: Duration,
    /// Further tries before the first event; default 2.
    pub retries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    Responses,
    ChatCompletions,
    Demo,
    Scripted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// A key of `providers`.
    pub provider: String,
    pub model: String,
    /// Default: the key.
    pub label: String,
    /// Who may use it, in whatever way.
    pub allow: Allow,
}

/// `[transcribe]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscribeConfig {
    /// A key of `providers`.
    pub provider: String,
    pub model: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentsConfig {
    /// The file in prompts/ without `.md`; default `assistant`.
    pub default: String,
}

#[derive(Clone, PartialEq, Eq)]
pub struct PromptsConfig {
    /// The environment variables that templates may read as `env.NAME`, with their values. One that is
    /// not set is left out.
    pub env: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct PluginsConfig {
    pub trust: Trust,
    pub by_name: BTreeMap<String, PluginConfig>,
    /// Private and loopback addresses that plugins may reach, as `host:port`, `address` or `address/prefix`.
    pub allow_addresses: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    #[default]
    Declared,
    Ask,
}

/// `[plugins.NAME]`
#[derive(Debug, Clone, Default)]
pub struct PluginConfig {
    /// Narrows what the plugin states; `env` and `credentials` are granted here only.
    pub permissions: Option<RawPermissions>,
    /// Who may use its tools, among those whom it lets itself.
    pub allow: Allow,
    /// The values of the environment variables that `permissions.env` grants, read at load. One that is
    /// not set is left out.
    pub env: BTreeMap<String, SecretString>,
}

/// Permissions as written, in plugin.toml, in `plugin(#{ permissions })` and in `[plugins.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPermissions {
    #[serde(default)]
    pub http: Option<Vec<String>>,
    #[serde(default)]
    pub credentials: Option<Vec<String>>,
    #[serde(default)]
    pub knowledge: Option<Vec<String>>,
    #[serde(default)]
    pub env: Option<Vec<String>>,
    #[serde(default)]
    pub model: Option<bool>,
    #[serde(default)]
    pub tools: Option<Vec<String>>,
    #[serde(default)]
    pub public: Option<bool>,
}

/// `[mcp]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpConfig {
    pub stdio: StdioPolicy,
    /// Private and loopback addresses that MCP servers may have, as `host:port`, `address` or `address/prefix`.
    pub allow: Vec<String>,
    /// Whether a server's file may have a prompt show a secret itself.
    pub allow_plaintext: bool,
    pub cross_server: CrossServer,
}

impl Default for McpConfig {
    fn default() -> Self {
        Self {
            stdio: StdioPolicy::Only(Vec::new()),
            allow: Vec::new(),
            allow_plaintext: false,
            cross_server: CrossServer::Ask,
        }
    }
}

/// Which programs may be started as MCP servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StdioPolicy {
    Any,
    /// Those of these commands; default: none.
    Only(Vec<String>),
}

/// What becomes of a call to a server after another server gave a result in the same turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrossServer {
    /// The user is asked, unless the tool only reads or needs no approval by its server's file.
    #[default]
    Ask,
    Allow,
}

/// The shortest secret that can be told from other text, where it has to be kept out of.
pub const SECRET_CHARACTERS: usize = 8;

/// `[credentials.NAME]` (mcp.md §2)
#[derive(Debug, Clone)]
pub struct CredentialConfig {
    pub source: CredentialSource,
    /// Ids of MCP servers, and hosts.
    pub destinations: Vec<String>,
    /// For hosts: the header's name, and its value with `{}` in place of the secret.
    pub send: Option<(String, String)>,
}

/// Where a credential comes from.
#[derive(Debug, Clone)]
pub enum CredentialSource {
    /// A field of the verified login: its `access_token`, or a claim.
    Login { field: String },
    /// A header of the chat request; of `Authorization`, what follows `Bearer`.
    Request { header: String },
    /// The user enters it once, under this name.
    Store { label: Option<String> },
    /// One for all.
    Static { value: SecretString },
    /// The user logs in at an authorization server.
    OAuth(OAuthConfig),
    /// The access token of the verified login is exchanged for one (RFC 8693).
    Exchange(ExchangeConfig),
}

/// `[credentials.NAME]` with `source = "oauth"`
#[derive(Debug, Clone)]
pub struct OAuthConfig {
    pub label: Option<String>,
    pub issuer: Url,
    /// What its tokens are for, where the authorization server wants to know (RFC 8707).
    pub resource: Option<String>,
    pub scopes: Vec<String>,
    /// None: this server makes itself known.
    pub client_id: Option<String>,
    pub client_secret: Option<SecretString>,
}

/// `[page]`: the page at `/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageConfig {
    pub element: PageElement,
    /// What the vendor's element asks for, of those who load it from elsewhere.
    pub domain_key: Option<String>,
}

/// Which element shows the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PageElement {
    #[default]
    Builtin,
    /// The vendor's, from its CDN.
    Official,
    /// The vendor's, and ours where its CDN cannot be reached.
    Auto,
}

/// `[credentials.NAME]` with `source = "exchange"`
#[derive(Debug, Clone)]
pub struct ExchangeConfig {
    pub place: ExchangePlace,
    /// What the token is to be for: by its name, its URL (RFC 8707), and what it is good for. Some of it is said.
    pub audience: Option<String>,
    pub resource: Option<String>,
    pub scopes: Vec<String>,
    /// None: the token endpoint asks nobody who they are.
    pub client_id: Option<String>,
    pub client_secret: Option<SecretString>,
}

/// Where a login's token is exchanged.
#[derive(Debug, Clone)]
pub enum ExchangePlace {
    /// At the token endpoint that the metadata of this authorization server name.
    Issuer(Url),
    TokenEndpoint(Url),
}

#[derive(Debug, Clone)]
pub struct Limits {
    pub plugin: PluginLimits,
    /// Of a request's body, in bytes; default 8 MiB.
    pub body_bytes: usize,
    /// Of what a user writes in one message, in bytes; default 1 MiB.
    pub message_bytes: usize,
    /// Rounds of model calls in one turn; default 20.
    pub rounds: usize,
    /// Of a turn, from its beginning to its end; default 30 min.
    pub turn_time: Duration,
    pub attachments: AttachmentLimits,
    /// Of each user.
    pub user: Quota,
    /// Of all users of one organisation together.
    pub org: Quota,
    /// Of all who come from one address; of version 6, from one network.
    pub address: Quota,
}

/// `[limits.attachments]`, which an agent's own rules narrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentLimits {
    /// `image/*`, `application/pdf`; lower case. Default: images, texts and PDF.
    pub types: Vec<String>,
    /// Of one file; default 20 MiB.
    pub max_bytes: u64,
}

/// `[limits.plugin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLimits {
    /// Of one call, waiting for http, model and other tools not counted; default 10 s.
    pub timeout: Duration,
    pub operations: u64,
    pub string_bytes: usize,
    /// Entries of an array or map.
    pub entries: usize,
    pub call_depth: usize,
    /// Scripts that run at one time; default 256.
    pub threads: usize,
    /// Of a value kept in `kv`; default 1 MiB.
    pub kv_bytes: usize,
    /// Of a component during one call, in bytes; default 128 MiB, at most 4 GiB.
    pub memory: usize,
}

impl Config {
    /// Parses kitfox.toml (`None`: there is none), with `KITFOX_SECTION__KEY` of the environment over
    /// it. `project` is the folder, for relative paths and the default name. As many errors as can be
    /// found are told at once.
    pub fn parse(
        text: Option<&str>,
        environment: &Environment,
        project: &Path,
    ) -> Result<Self, Vec<LoadError>> {
        parse::parse(text, environment, project)
    }

    /// The keys that differ from `other` and are read at start only.
    pub fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        if self.server.listen != other.server.listen {
            keys.push("server.listen");
        }
        if self.store.url != other.store.url {
            keys.push("store.url");
        }
        if self.store.connection() != other.store.connection() {
            keys.push("store");
        }
        if self.store.attachments != other.store.attachments {
            keys.push("store.attachments");
        }
        if self.store.keys != other.store.keys {
            keys.push("store.keys");
        }
        if self.telemetry.differs(&other.telemetry) {
            keys.push("telemetry");
        }
        if self.metrics.listen != other.metrics.listen {
            keys.push("metrics.listen");
        }
        if self.audit.file != other.audit.file {
            keys.push("audit.file");
        }
        keys
    }

    /// Whether only this machine can reach the server and nobody logs in: a developer's own.
    pub fn is_local(&self) -> bool {
        self.server.listens_on_loopback() && self.server.is_public_url_loopback()
    }

    /// Whether the built-in demo model answers.
    pub fn uses_demo_model(&self) -> bool {
        self.models
            .values()
            .any(|model| self.providers.get(&model.provider).is_some_and(|it| it.api == Api::Demo))
    }
}

impl ServerConfig {
    /// Whether nobody but this machine can connect.
    pub fn listens_on_loopback(&self) -> bool {
        is_loopback(self.listen.rsplit_once(':').map_or("", |(host, _)| host))
    }

    /// Whether pages are meant for this machine alone.
    pub fn is_public_url_loopback(&self) -> bool {
        self.public_url.host_str().is_some_and(is_loopback)
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|it| it.to_canonical().is_loopback())
}

impl Default for ClaimNames {
    fn default() -> Self {
        let [user, name, email, org, roles] =
            ["sub", "name", "email", "org", "roles"].map(str::to_owned);
        Self { user, name, email, org, roles }
    }
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            operations: 50_000_000,
            string_bytes: 4 << 20,
            entries: 100_000,
            call_depth: 64,
            threads: 256,
            kv_bytes: 1 << 20,
            // Interpreters need tens of megabytes.
            memory: 128 << 20,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            plugin: PluginLimits::default(),
            body_bytes: 8 << 20,
            message_bytes: 1 << 20,
            rounds: 20,
            turn_time: Duration::from_mins(30),
            attachments: AttachmentLimits::default(),
            user: Quota::default(),
            org: Quota::default(),
            address: Quota::default(),
        }
    }
}

impl Default for AttachmentLimits {
    fn default() -> Self {
        let types = ["image/*", "text/*", "application/pdf"];
        Self { types: types.map(str::to_owned).to_vec(), max_bytes: 20 << 20 }
    }
}

impl StoreConfig {
    /// All defaults, but for the URL.
    pub fn of_url(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            password: None,
            pool: 10,
            connect_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            attachments: "file://attachments".to_owned(),
            keys: "kitfox.keys".to_owned(),
        }
    }

    /// Whether the database is on a server, which may be away.
    pub fn is_on_server(&self) -> bool {
        !self.url.starts_with("sqlite:")
    }

    /// What is read when the database is opened.
    fn connection(&self) -> impl PartialEq {
        let password = self.password.as_ref().map(|it| it.expose_secret().to_owned());
        let timeouts = [self.connect_timeout, self.acquire_timeout, self.statement_timeout];
        (password, self.pool, timeouts)
    }
}

/// A database's URL may hold a password.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").finish_non_exhaustive()
    }
}

/// Headers may hold secrets: only their names are shown.
impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("api", &self.api)
            .field("base_url", &self.base_url)
            .field("headers", &self.headers.keys())
            .finish_non_exhaustive()
    }
}

/// Values of the environment are often secrets: only their names are shown.
impl fmt::Debug for PromptsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptsConfig").field("env", &self.env.keys()).finish()
    }
}
