//! Whether a running server is ready: for containers, whose images have nothing else to ask with.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};

use crate::{app::first_config, cli::output::Output, config::Environment, model::client};

const PATIENCE: Duration = Duration::from_secs(4);

pub async fn run(
    url: Option<String>,
    project: PathBuf,
    environment: Environment,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let base = if let Some(url) = url {
        url.trim_end_matches('/').to_owned()
    } else {
        let Ok(config) = first_config(&project, &environment).await else {
            bail!(
                "kitfox.toml cannot be read: `kitfox check` says why, or name the server by `--url`"
            );
        };
        format!("http://{}", reachable(&config.server.listen))
    };
    let request = client(PATIENCE)?.get(format!("{base}/readyz")).timeout(PATIENCE).send();
    let response = request.await.map_err(|err| anyhow::anyhow!(err.without_url()));
    let response = response.with_context(|| format!("nobody answers at {base}"))?;
    let status = response.status();
    let body: serde_json::Value = response.json().await.unwrap_or_default();
    output.value(&body);
    if status.is_success() {
        output.line(format!("{base} is ready"));
        return Ok(ExitCode::SUCCESS);
    }
    let reasons = body["reasons"].as_array().into_iter().flatten().filter_map(|it| it.as_str());
    let reasons: Vec<_> = reasons.collect();
    output.line(format!("{base} is not ready ({status}): {}", reasons.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// Where a server that listens everywhere is found from its own machine.
fn reachable(listen: &str) -> String {
    let (host, port) = listen.rsplit_once(':').unwrap_or((listen, "8000"));
    match host {
        "0.0.0.0" | "[::]" => format!("127.0.0.1:{port}"),
        host => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_this_machine() {
        assert_eq!(reachable("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80"), "127.0.0.1:80");
        assert_eq!(reachable("10.0.0.7:8000"), "10.0.0.7:8000");
    }
}
