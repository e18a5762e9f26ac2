use std::process::ExitCode;

use clap::Parser;
use kitfox::{
    cli::{self, Arguments},
    telemetry::{LogPlace, start_logs},
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The default of reqwest, sqlx and others; nobody has chosen another one yet.
    let _ = rustls::crypto::ring::default_provider().install_default();
    kitfox::plugin::cache_compiled_code();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            start_logs(arguments.default_log(), LogPlace::default());
            tracing::error!("cannot start: {err}");
            return ExitCode::FAILURE;
        }
    };
    let place = runtime.block_on(arguments.log_place());
    start_logs(arguments.default_log(), place);
    let code = runtime.block_on(cli::run(arguments));
    // A read of standard input that nobody waits for would hold the process.
    runtime.shutdown_background();
    code
}
