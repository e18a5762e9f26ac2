//! `kitfox mcp login`: a login that comes back to this machine.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use url::Url;

use crate::{
    app::App,
    cli::output::{Output, bold, known},
    oauth::{Callback, ClientPlaces, Target},
    user::User,
};

/// As long as a login may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// Of a request's first line.
const LINE: u64 = 16 * 1024;

/// Logs this user in to the MCP server, or for the credential, of this name.
pub async fn run(app: &App, name: &str, user: &User, output: Output) -> anyhow::Result<ExitCode> {
    let generation = app.generation();
    let keys = [Target::of_server(name), Target::of_credential(name)];
    let Some(target) = generation.login_targets().find(|it| keys.contains(&it.key)) else {
        let all = generation.login_targets().filter(Target::has_logins).map(|it| it.key);
        let all: Vec<_> = all.collect();
        let names = all.iter().map(|it| it.split_once(':').map_or(it.as_str(), |(_, name)| name));
        output.problems(&generation.errors);
        bail!("`{name}` has no login: {}", known(names));
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot wait for the login")?;
    let base = Url::parse(&format!("http://127.0.0.1:{}", listener.local_addr()?.port()))?;
    let places = ClientPlaces::new(&generation.config.project.name, &base);
    let oauth = &generation.host.credentials.accounts().oauth;
    let begun = oauth.begin(&target, &user.key, &places, None).await?;
    output.line(format!("open this in a browser, and log in to {}:", bold(&target.label)));
    output.line(begun.url.as_str());
    output.value(&json!({ "url": begun.url }));
    let come_back = async {
        loop {
            let (stream, _) = listener.accept().await?;
            if let Some((callback, stream)) = read(stream, places.redirect_uri.path()).await {
                return anyhow::Ok((callback, stream));
            }
        }
    };
    let (callback, mut stream) =
        timeout(PATIENCE, come_back).await.context("nobody logged in within ten minutes")??;
    // What comes back here was begun here: the browser has nothing else to show.
    let browser = Some(begun.browser.expose_secret());
    let finished = oauth.finish(&user.key, browser, &callback).await;
    let text = match &finished {
        Ok(_) => "Connected. This page may be closed.".to_owned(),
        Err(err) => format!("Not connected: {err}."),
    };
    // The browser may have gone.
    let _ = answer(&mut stream, "200 OK", &text).await;
    let finished = finished?;
    output.line(format!("connected {} for {}", bold(&finished.label), bold(&user.id)));
    output.value(&json!({ "connected": finished.label, "user": user.id }));
    Ok(ExitCode::SUCCESS)
}

/// What a browser brings back; None where it asks for something else.
async fn read(mut stream: TcpStream, path: &str) -> Option<(Callback, TcpStream)> {
    let mut line = String::new();
    let mut reader = BufReader::new(tokio::io::AsyncReadExt::take(&mut stream, LINE));
    let read = timeout(Duration::from_secs(10), reader.read_line(&mut line)).await;
    read.ok()?.ok()?;
    let target = line.split(' ').nth(1).unwrap_or_default();
    let url = Url::parse("http://127.0.0.1").and_then(|it| it.join(target)).ok()?;
    if !line.starts_with("GET ") || url.path() != path {
        let _ = answer(&mut stream, "404 Not Found", "There is nothing here.").await;
        return None;
    }
    let find = |name: &str| {
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let callback = Callback {
        state: find("state"),
        code: find("code"),
        iss: find("iss"),
        error: find("error"),
    };
    Some((callback, stream))
}

async fn answer(stream: &mut TcpStream, status: &str, text: &str) -> std::io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         x-content-type-options: nosniff\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
