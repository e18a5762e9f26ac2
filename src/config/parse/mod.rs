//! kitfox.toml, section by section.

mod auth;
mod mcp;
mod models;
mod oidc;
mod server;
mod telemetry;

use std::{collections::BTreeMap, path::Path, time::Duration};

use secrecy::SecretString;

use crate::{
    config::{
        AgentsConfig, AttachmentLimits, Config, Environment, Limits, Measure, PageConfig,
        PageElement, PluginConfig, PluginLimits, PluginsConfig, ProjectConfig, PromptsConfig,
        Quota, RawPermissions, RetentionConfig, StoreConfig, Trust,
        document::{Content, Field, Node, Reader, Table, suggestion},
    },
    load_error::LoadError,
    media,
};

use self::{
    auth::read_auth,
    mcp::{read_credentials, read_mcp},
    models::{read_models, read_transcribe},
    server::{check_path, is_at_or_below, read_server},
    telemetry::{read_audit, read_metrics, read_telemetry},
};

const FILE: &str = "kitfox.toml";

const SECTIONS: &[&str] = &[
    "project",
    "server",
    "store",
    "auth",
    "providers",
    "models",
    "agents",
    "prompts",
    "plugins",
    "routes",
    "limits",
    "transcribe",
    "mcp",
    "credentials",
    "telemetry",
    "metrics",
    "audit",
    "retention",
    "page",
];

pub fn parse(
    text: Option<&str>,
    environment: &Environment,
    project: &Path,
) -> Result<Config, Vec<LoadError>> {
    let text = text.unwrap_or_default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let reader = Reader::new(FILE);
    let config = read(text, environment, project, &reader);
    let errors = reader.into_errors();
    match config {
        Some(config) if errors.is_empty() => Ok(config),
        Some(_) | None => Err(errors),
    }
}

fn read(text: &str, environment: &Environment, project: &Path, reader: &Reader) -> Option<Config> {
    let mut node = Node::from_toml(text, reader)?;
    environment.put_over(&mut node);
    if let Content::Map(sections) = &mut node.content {
        for (key, section) in sections {
            super::environment::resolve(section, &key.name, text, environment, reader);
        }
    }
    let root = reader.root(node).table(SECTIONS)?;

    let server = read_server(&root);
    let (providers, models) = read_models(&root, &server, environment, project);
    let project_config = read_project(&root, project);
    let auth = read_auth(&root, project, &server);
    let mcp = read_mcp(&root);
    Some(Config {
        telemetry: read_telemetry(&root, environment, &project_config.name),
        metrics: read_metrics(&root),
        audit: read_audit(&root, project),
        project: project_config,
        store: read_store(&root),
        models,
        agents: read_agents(&root),
        prompts: read_prompts(&root, environment),
        plugins: read_plugins(&root, environment),
        credentials: read_credentials(&root, &auth.modes, &mcp.allow),
        routes: read_routes(&root, &server.chatkit_paths),
        transcribe: read_transcribe(&root, &providers),
        limits: read_limits(&root),
        page: read_page(&root),
        retention: read_retention(&root),
        auth,
        mcp,
        providers,
        server,
    })
}

fn read_project(root: &Table<'_>, project: &Path) -> ProjectConfig {
    let table = root.table("project", &["name"]);
    let name = table.get("name").and_then(|it| it.text_not_empty()).unwrap_or_else(|| {
        let folder = std::path::absolute(project).ok();
        let name = folder.as_deref().and_then(Path::file_name).and_then(|it| it.to_str());
        name.unwrap_or("kitfox").to_owned()
    });
    ProjectConfig { name }
}

pub fn read_duration(table: &Table<'_>, key: &str, default: Duration, least: Duration) -> Duration {
    table.get(key).and_then(|it| it.duration(least)).unwrap_or(default)
}

fn read_store(root: &Table<'_>) -> StoreConfig {
    let keys = [
        "url",
        "password",
        "pool",
        "connect_timeout",
        "acquire_timeout",
        "statement_timeout",
        "attachments",
        "keys",
    ];
    let table = root.table("store", &keys);
    let default = StoreConfig::of_url("sqlite://kitfox.db");
    let url = table.get("url").and_then(|it| {
        let url = it.text()?;
        let scheme = url.split_once(':').map(|(scheme, _)| scheme);
        if let Some("sqlite" | "postgres" | "postgresql" | "mysql" | "mariadb") = scheme {
            return Some(url);
        }
        it.refuse_with_remedy(
            "`store.url` must be the URL of a database",
            "use `sqlite://kitfox.db`, `postgres://user@host/database` or `mysql://user@host/database`",
        );
        None
    });
    let text = |key| table.get(key).and_then(|it| it.text_not_empty());
    let time = |key, default| read_duration(&table, key, default, Duration::from_millis(1));
    StoreConfig {
        url: url.unwrap_or(default.url),
        password: text("password").map(SecretString::from),
        pool: table.get("pool").and_then(|it| it.count(1)).unwrap_or(default.pool),
        connect_timeout: time("connect_timeout", default.connect_timeout),
        acquire_timeout: time("acquire_timeout", default.acquire_timeout),
        statement_timeout: time("statement_timeout", default.statement_timeout),
        attachments: text("attachments").unwrap_or(default.attachments),
        keys: text("keys").unwrap_or(default.keys),
    }
}

fn read_agents(root: &Table<'_>) -> AgentsConfig {
    let table = root.table("agents", &["default"]);
    let default = table.get("default").and_then(|it| {
        let id = it.text_not_empty()?;
        if id.contains('/') || id.starts_with('_') || id.strip_suffix(".md").is_some() {
            it.must_be("the name of a file in prompts/ without `.md`, such as `assistant`");
        }
        Some(id)
    });
    AgentsConfig { default: default.unwrap_or_else(|| "assistant".to_owned()) }
}

fn read_page(root: &Table<'_>) -> PageConfig {
    let table = root.table("page", &["element", "domain_key"]);
    let words = [
        ("builtin", PageElement::Builtin),
        ("official", PageElement::Official),
        ("auto", PageElement::Auto),
    ];
    PageConfig {
        element: table.get("element").and_then(|it| it.word(&words)).unwrap_or_default(),
        domain_key: table.get("domain_key").and_then(|it| it.text_not_empty()),
    }
}

fn read_prompts(root: &Table<'_>, environment: &Environment) -> PromptsConfig {
    let table = root.table("prompts", &["env"]);
    let names = table.get("env").and_then(|it| it.texts()).unwrap_or_default();
    PromptsConfig { env: environment.of_names(&names) }
}

fn read_plugins(root: &Table<'_>, environment: &Environment) -> PluginsConfig {
    let mut plugins = PluginsConfig {
        trust: Trust::default(),
        by_name: BTreeMap::new(),
        allow_addresses: Vec::new(),
    };
    for (key, field) in root.map("plugins").fields() {
        match key.name.as_str() {
            "trust" => {
                let words = [("declared", Trust::Declared), ("ask", Trust::Ask)];
                plugins.trust = field.word(&words).unwrap_or_default();
            }
            "allow_addresses" => plugins.allow_addresses = field.texts().unwrap_or_default(),
            name if !matches!(field.node.content, Content::Map(_) | Content::Untyped { .. }) => {
                field.refuse_with_remedy(
                    format!("unknown key `plugins.{name}`"),
                    format!(
                        "{}; a plugin's own settings are a table, `[plugins.NAME]`",
                        suggestion(name, &["trust", "allow_addresses"])
                    ),
                );
            }
            _ => {
                let Some(table) = field.table(&["permissions", "allow"]) else { continue };
                let allow = table.allow();
                let permissions = table.get("permissions").and_then(|it| read_permissions(&it));
                let granted =
                    permissions.as_ref().and_then(|it| it.env.clone()).unwrap_or_default();
                let env = environment.of_names(&granted);
                let env = env.into_iter().map(|(name, value)| (name, SecretString::from(value)));
                plugins
                    .by_name
                    .insert(key.name, PluginConfig { permissions, allow, env: env.collect() });
            }
        }
    }
    plugins
}

fn read_permissions(field: &Field<'_>) -> Option<RawPermissions> {
    let table =
        field.table(&["http", "credentials", "knowledge", "env", "model", "tools", "public"])?;
    let texts = |key| table.get(key).and_then(|it| it.texts());
    let boolean = |key| table.get(key).and_then(|it| it.boolean());
    Some(RawPermissions {
        http: texts("http"),
        credentials: texts("credentials"),
        knowledge: texts("knowledge"),
        env: texts("env"),
        model: boolean("model"),
        tools: texts("tools"),
        public: boolean("public"),
    })
}

fn read_routes(root: &Table<'_>, chatkit_paths: &[String]) -> BTreeMap<String, String> {
    let mut routes = BTreeMap::new();
    for (key, field) in root.map("routes").fields() {
        let path = key.name;
        if !check_path(&field, &path) {
            continue;
        }
        if let Some(taken) = chatkit_paths.iter().find(|it| is_at_or_below(&path, it)) {
            field.refuse_with_remedy(
                format!("`routes` mounts `{path}`, but the chat is served at `{taken}`"),
                "choose another path",
            );
            continue;
        }
        if let Some(plugin) = field.text_not_empty() {
            routes.insert(path, plugin);
        }
    }
    routes
}

fn read_limits(root: &Table<'_>) -> Limits {
    fn count<T: TryFrom<i128>>(table: &Table<'_>, key: &str, default: T) -> T {
        table.get(key).and_then(|it| it.count(1)).unwrap_or(default)
    }
    let default = Limits::default();
    let table = root.table(
        "limits",
        &[
            "body_bytes",
            "message_bytes",
            "rounds",
            "turn_time",
            "plugin",
            "attachments",
            "user",
            "org",
            "address",
        ],
    );
    let plugin = table.table(
        "plugin",
        &[
            "timeout",
            "operations",
            "string_bytes",
            "entries",
            "call_depth",
            "threads",
            "kv_bytes",
            "memory",
        ],
    );
    Limits {
        body_bytes: count(&table, "body_bytes", default.body_bytes),
        message_bytes: count(&table, "message_bytes", default.message_bytes),
        rounds: count(&table, "rounds", default.rounds),
        turn_time: read_duration(&table, "turn_time", default.turn_time, Duration::from_secs(1)),
        user: read_quota(&table, "user"),
        org: read_quota(&table, "org"),
        address: read_quota(&table, "address"),
        attachments: read_attachment_limits(&table, default.attachments),
        plugin: PluginLimits {
            timeout: read_duration(
                &plugin,
                "timeout",
                default.plugin.timeout,
                Duration::from_millis(1),
            ),
            operations: count(&plugin, "operations", default.plugin.operations),
            string_bytes: count(&plugin, "string_bytes", default.plugin.string_bytes),
            entries: count(&plugin, "entries", default.plugin.entries),
            call_depth: count(&plugin, "call_depth", default.plugin.call_depth),
            threads: count(&plugin, "threads", default.plugin.threads),
            kv_bytes: count(&plugin, "kv_bytes", default.plugin.kv_bytes),
            memory: count(&plugin, "memory", default.plugin.memory),
        },
    }
}

fn read_retention(root: &Table<'_>) -> RetentionConfig {
    let table = root.table("retention", &["days", "orgs"]);
    let days = |field: Field<'_>| Some(Duration::from_hours(24) * field.count(1)?);
    let orgs = table.map("orgs").fields().into_iter();
    RetentionConfig {
        threads: table.get("days").and_then(days),
        orgs: orgs.filter_map(|(key, field)| Some((key.name, days(field)?))).collect(),
    }
}

fn read_quota(limits: &Table<'_>, key: &str) -> Quota {
    let table = limits.table(key, &Measure::ALL.map(Measure::name));
    let read = |measure: Measure| Some((measure, table.get(measure.name())?.count(0)?));
    Quota::new(Measure::ALL.into_iter().filter_map(read).collect())
}

fn read_attachment_limits(limits: &Table<'_>, default: AttachmentLimits) -> AttachmentLimits {
    let table = limits.table("attachments", &["types", "max_bytes"]);
    let types = table.get("types").and_then(|field| {
        let read = |field: Field<'_>| {
            let text = field.text()?.to_ascii_lowercase();
            if !media::is_pattern(&text) {
                field.must_be("a type, such as `image/*` or `application/pdf`");
            }
            Some(text)
        };
        Some(field.list()?.into_iter().filter_map(read).collect())
    });
    let max_bytes = table.get("max_bytes").and_then(|it| it.count(1));
    AttachmentLimits {
        types: types.unwrap_or(default.types),
        max_bytes: max_bytes.unwrap_or(default.max_bytes),
    }
}
