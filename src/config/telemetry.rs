use std::{collections::BTreeMap, fmt, path::PathBuf};

use secrecy::SecretString;
use url::Url;

/// `[telemetry]`: read at start.
#[derive(Debug, Clone, Default)]
pub struct TelemetryConfig {
    pub logs: LogFormat,
    /// None: nobody is sent traces.
    pub traces: Option<TracesConfig>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Where traces go, and what is in them.
#[derive(Clone)]
pub struct TracesConfig {
    /// With the path that takes traces.
    pub endpoint: Url,
    /// Sent with each batch.
    pub headers: BTreeMap<String, SecretString>,
    /// What this server is called there; default: the project's name.
    pub service: String,
    /// The share of requests that are traced, from 0 to 1; default 1.
    pub sample: f64,
    /// Whether they hold what users, models and tools say; default: no.
    pub content: bool,
}

/// `[metrics]`
#[derive(Debug, Clone, Default)]
pub struct MetricsConfig {
    /// An address for `/metrics` alone, without a login; none by default. Read at start.
    pub listen: Option<String>,
    /// Whoever brings it may read `/metrics` at the server's own address.
    pub token: Option<SecretString>,
}

/// `[audit]`: read at start.
#[derive(Debug, Clone, Default)]
pub struct AuditConfig {
    /// The file of who used which tool and credential, with the project's folder before it; none by default.
    pub file: Option<PathBuf>,
}

impl TelemetryConfig {
    /// Whether a server that began with the other one would have to begin anew.
    pub fn differs(&self, other: &Self) -> bool {
        let key = |it: &Self| {
            it.traces.as_ref().map(|it| {
                let headers: Vec<_> = it.headers.keys().cloned().collect();
                (it.endpoint.clone(), headers, it.service.clone(), it.sample.to_bits(), it.content)
            })
        };
        self.logs != other.logs || key(self) != key(other)
    }
}

/// Headers hold keys, and so may the address.
impl fmt::Debug for TracesConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracesConfig")
            .field("headers", &self.headers.keys())
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
