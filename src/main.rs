use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use kitfox::cli::{self, Arguments};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The default of reqwest, sqlx and others; nobody has chosen another one yet.
    let _ = rustls::crypto::ring::default_provider().install_default();
    kitfox::plugin::cache_compiled_code();
    let filter = EnvFilter::try_from_env("KITFOX_LOG")
        .unwrap_or_else(|_| EnvFilter::new(arguments.default_log()))
        // It logs whole requests and results, which are the users'.
        .add_directive("rmcp=off".parse().expect("it is a directive"));
    let log = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    if std::io::stderr().is_terminal() {
        registry.with(log).init();
    } else {
        registry.with(log.with_ansi(false)).init();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            tracing::error!("cannot start: {err}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(arguments));
    // A read of standard input that nobody waits for would hold the process.
    runtime.shutdown_background();
    code
}
