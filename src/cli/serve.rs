use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::{
    app::{App, Options},
    cli::output::Output,
    config::{Config, Environment},
    server,
    store::Store,
    telemetry::start_traces,
};

#[derive(Debug, Default, Args)]
pub struct Serve {
    /// Address and port, in place of `[server] listen`.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
}

impl Serve {
    pub async fn run(
        self,
        project: PathBuf,
        mut environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        if let Some(listen) = self.listen {
            environment.0.insert("KITFOX_SERVER__LISTEN".to_owned(), listen);
        }
        let options = Options { project, environment, models: None, store: None, watch: true };
        let app = match App::start(options).await {
            Ok(app) => app,
            Err(errors) => {
                output.problems(&errors);
                output.value(&serde_json::json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        let config = app.generation().config.clone();
        if let Err(err) = check_store(&app, &config).await {
            app.close().await;
            return Err(err);
        }
        let listener = bind(&config.server.listen, "`listen` under [server]").await?;
        let metrics = match &config.metrics.listen {
            Some(listen) => Some(bind(listen, "`listen` under [metrics]").await?),
            None => None,
        };
        let traces = config.telemetry.traces.as_ref().map(start_traces).transpose();
        let traces = traces.map_err(|err| anyhow!(err))?;
        announce(&app, &config, &listener);
        if let Some(metrics) = metrics {
            app.tasks.spawn(server::serve_metrics(app.clone(), metrics));
        }
        tokio::select! {
            result = server::serve(app.clone(), listener) => result?,
            () = stop_on_signals(&app) => (),
        }
        if let Some(traces) = traces {
            // It waits for whoever takes them.
            tokio::task::spawn_blocking(move || traces.stop()).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A server that would work beside another one on a database that takes one, or that has never reached its database, does not
/// begin.
async fn check_store(app: &App, config: &Config) -> anyhow::Result<()> {
    let url = Store::show_url(&config.store)?;
    if app.store.is_taken() {
        bail!(
            "another process serves from the database `{url}`: stop it first; where several are to serve at once, \
             use PostgreSQL"
        );
    }
    if config.store.is_on_server() {
        let ready = app.store.check().await;
        ready.with_context(|| format!("cannot serve from the database `{url}`"))?;
    }
    Ok(())
}

async fn bind(listen: &str, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|err| match err.kind() {
        std::io::ErrorKind::AddrInUse => anyhow!(
            "`{listen}` is taken by another program: set {setting} in kitfox.toml; the server's own address is set by \
             KITFOX_SERVER__LISTEN=127.0.0.1:8001 or `--listen 127.0.0.1:8001` as well"
        ),
        _ => anyhow!(err)
            .context(format!("cannot listen on `{listen}`: mend {setting} in kitfox.toml")),
    })
}

fn announce(app: &App, config: &Config, listener: &TcpListener) {
    let generation = app.generation();
    let (tools, agents) = (generation.tools.0.len(), generation.prompts.agents().count());
    info!(
        generation = %generation.id, tools, agents,
        "serving project `{}` with {agents} agents and {tools} tools", config.project.name
    );
    if config.uses_demo_model() {
        info!("the demo model answers: set OPENAI_API_KEY, or name a provider in kitfox.toml");
    }
    if !config.is_local()
        && config.auth.modes.contains(&crate::config::AuthMode::Header)
        && config.auth.trusted_proxies.is_none()
    {
        warn!(
            "`auth.mode = \"header\"` trusts whoever reaches this port to say who they are: keep it behind \
             a proxy that sets `{}` itself, and name that in `trusted_proxies` of `[auth]`",
            config.auth.header
        );
    }
    let address =
        listener.local_addr().map_or_else(|_| config.server.listen.clone(), |it| it.to_string());
    info!("listening on {address}, the chat is at {}", config.server.public_url);
    if let Some(listen) = &config.metrics.listen {
        info!("metrics are at http://{listen}/metrics, for whoever can reach it");
    }
    if let Some(traces) = &config.telemetry.traces {
        let host = traces.endpoint.host_str().unwrap_or_default();
        info!(content = traces.content, "traces go to {host}");
    }
}

/// SIGINT and SIGTERM ask the server to stop; with a second one it waits for no turn. Never ends.
async fn stop_on_signals(app: &App) {
    loop {
        if let Err(err) = signal().await {
            warn!("signals cannot be received: {err:#}");
            return std::future::pending().await;
        }
        if app.stopping.is_cancelled() {
            info!("stopping now: running turns are cancelled");
            app.running.cancel_all();
        } else {
            info!("stopping: running turns get time to end (a second signal cancels them)");
            app.stopping.cancel();
        }
    }
}

#[cfg(unix)]
async fn signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("SIGINT"),
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> anyhow::Result<()> {
    tokio::signal::ctrl_c().await.context("ctrl-c")
}
