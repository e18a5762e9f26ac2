//! `[telemetry]` and `[metrics]`: what an operator watches the server by.

use std::{collections::BTreeMap, path::Path};

use secrecy::SecretString;
use url::Url;

use crate::config::{
    AuditConfig, Environment, LogFormat, MetricsConfig, SECRET_CHARACTERS, TelemetryConfig,
    TracesConfig,
    document::{Field, Key, Table},
    parse::server::{read_listen, read_url},
};

/// The variables that every program which speaks OTLP knows.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SERVICE: &str = "OTEL_SERVICE_NAME";

/// What takes traces, below the endpoint that takes everything.
const TRACES_PATH: &str = "/v1/traces";

pub fn read_telemetry(
    root: &Table<'_>,
    environment: &Environment,
    project: &str,
) -> TelemetryConfig {
    let table =
        root.table("telemetry", &["logs", "traces", "headers", "service", "sample", "content"]);
    let words = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let logs = table.get("logs").and_then(|it| it.word(&words)).unwrap_or_default();
    let endpoint = match table.get("traces") {
        Some(field) => read_url(&field).map(|it| with_path(&it)),
        None => endpoint_of(&table, environment),
    };
    // All are read, so that each mistake is told, whether or not traces are sent.
    let headers = read_headers(&table);
    let service = table.get("service").and_then(|it| it.text_not_empty());
    let sample = table.get("sample").and_then(|it| it.number(0.0, 1.0)).unwrap_or(1.0);
    let content = table.get("content").and_then(|it| it.boolean()).unwrap_or(false);
    let traces = endpoint.map(|endpoint| TracesConfig {
        endpoint,
        headers,
        service: service
            .or_else(|| environment.get(SERVICE).map(str::to_owned))
            .unwrap_or_else(|| project.to_owned()),
        sample,
        content,
    });
    TelemetryConfig { logs, traces }
}

pub fn read_metrics(root: &Table<'_>) -> MetricsConfig {
    let table = root.table("metrics", &["listen", "token"]);
    let token = table.get("token").and_then(|it| {
        let token = it.text()?;
        if token.chars().count() < SECRET_CHARACTERS {
            it.refuse(format!(
                "`{}` must have at least {SECRET_CHARACTERS} characters: others would guess it",
                it.path
            ));
            return None;
        }
        Some(SecretString::from(token))
    });
    MetricsConfig { listen: table.get("listen").and_then(|it| read_listen(&it)), token }
}

pub fn read_audit(root: &Table<'_>, project: &Path) -> AuditConfig {
    let table = root.table("audit", &["file"]);
    let file = table.get("file").and_then(|it| it.text_not_empty());
    AuditConfig { file: file.map(|it| project.join(it)) }
}

/// By the variables of OpenTelemetry. An empty one counts as none.
fn endpoint_of(table: &Table<'_>, environment: &Environment) -> Option<Url> {
    let find = |name| environment.get(name).filter(|it| !it.is_empty()).map(|it| (name, it));
    let (name, text) = find(TRACES_ENDPOINT).or_else(|| find(ENDPOINT))?;
    let url = Url::parse(text).ok().filter(|it| matches!(it.scheme(), "http" | "https"));
    let Some(url) = url else {
        table.refuse(
            format!("`{name}` in the environment is no address of a receiver of traces"),
            "it begins with `http://` or `https://`, such as `http://localhost:4318`",
        );
        return None;
    };
    Some(if name == ENDPOINT { with_path(&url) } else { url })
}

fn with_path(url: &Url) -> Url {
    let mut url = url.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(TRACES_PATH) {
        url.set_path(&format!("{path}{TRACES_PATH}"));
    }
    url
}

fn read_headers(table: &Table<'_>) -> BTreeMap<String, SecretString> {
    let read = |(key, field): (Key, Field<'_>)| Some((key.name, field.text()?.into()));
    table.map("headers").fields().into_iter().filter_map(read).collect()
}
