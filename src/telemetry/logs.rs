use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal},
    path::PathBuf,
    sync::Mutex,
};

use tracing::{Metadata, error};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, fmt, layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::audit;
use crate::config::LogFormat;

/// Where logs go, and how.
#[derive(Debug, Default)]
pub struct LogPlace {
    pub format: LogFormat,
    /// The file of who used what; none: that is not told.
    pub audit: Option<PathBuf>,
}

/// Logs to standard error from here on. `KITFOX_LOG` in place of `default` says what.
pub fn start_logs(default: &str, place: LogPlace) {
    let LogPlace { format, audit: file } = place;
    let filter = EnvFilter::try_from_env("KITFOX_LOG")
        .unwrap_or_else(|_| EnvFilter::new(default))
        // It logs whole requests and results, which are the users'.
        .add_directive("rmcp=off".parse().expect("it is a directive"))
        .add_directive(format!("{}=off", audit::TARGET).parse().expect("it is a directive"));
    let log = fmt::layer().with_writer(io::stderr).with_target(false);
    let log: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => log.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Text if io::stderr().is_terminal() => log.with_filter(filter).boxed(),
        LogFormat::Text => log.with_ansi(false).with_filter(filter).boxed(),
    };
    let opened = file.as_ref().map(open);
    let audit_log = opened.as_ref().and_then(|it| it.as_ref().ok()?.try_clone().ok()).map(|file| {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_target(false)
            .with_level(false)
            .with_writer(Mutex::new(file))
            .with_filter(filter_fn(|it: &Metadata<'_>| it.target() == audit::TARGET))
    });
    tracing_subscriber::registry().with(log).with(audit_log).init();
    if let (Some(path), Some(Err(err))) = (file, opened) {
        error!("nobody writes down who uses what: `{}` cannot be opened: {err}", path.display());
    }
}

/// For nobody else to read.
fn open(path: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
