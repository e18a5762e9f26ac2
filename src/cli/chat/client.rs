use anyhow::{Context, anyhow, bail};
use futures::StreamExt;
use reqwest::{Response, header::HeaderMap};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cli::chat::sse::{EventReader, ServerEvent};

/// A ChatKit client that knows only what a browser's would.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    headers: HeaderMap,
}

impl Client {
    pub fn new(base: &str, headers: HeaderMap) -> anyhow::Result<Self> {
        // Another part of the process may have chosen it already: the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().build().context("cannot prepare the connection")?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), headers })
    }

    /// An operation that answers with JSON.
    pub async fn call(&self, operation: &str, params: Value) -> anyhow::Result<Value> {
        let response = self.post(operation, params).await?;
        response.json().await.context("the server's answer is no JSON")
    }

    /// A streaming operation: its events, as they come.
    pub async fn stream(&self, operation: &str, params: Value) -> anyhow::Result<Events> {
        Ok(Events::from_response(self.post(operation, params).await?))
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        let url = format!("{}{path}", self.base);
        let response = self.http.get(&url).headers(self.headers.clone()).send().await;
        check(self.reached(response)?).await
    }

    async fn post(&self, operation: &str, params: Value) -> anyhow::Result<Response> {
        let url = format!("{}/chatkit", self.base);
        let body = json!({ "type": operation, "params": params });
        let request = self.http.post(&url).headers(self.headers.clone()).json(&body);
        check(self.reached(request.send().await)?).await
    }

    fn reached(&self, response: reqwest::Result<Response>) -> anyhow::Result<Response> {
        response.map_err(|err| {
            if err.is_connect() {
                anyhow!(
                    "nobody answers at {}: start `kitfox serve`, or name another `--url`",
                    self.base
                )
            } else {
                anyhow!(err)
            }
        })
    }
}

async fn check(response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    let message = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|body| body["message"].as_str().map(str::to_owned))
        .unwrap_or(text);
    bail!("{message} ({status})")
}

/// The events of a stream. Dropping them is how a client stops an answer.
pub struct Events {
    events: mpsc::Receiver<anyhow::Result<ServerEvent>>,
    reader: tokio::task::JoinHandle<()>,
}

impl Events {
    pub fn from_response(response: Response) -> Self {
        let (sender, events) = mpsc::channel(64);
        #[expect(clippy::disallowed_methods, reason = "there is no server in this process")]
        let reader = tokio::spawn(async move {
            let mut bytes = response.bytes_stream();
            let mut frames = EventReader::default();
            while let Some(chunk) = bytes.next().await {
                let parsed = match chunk {
                    Ok(chunk) => frames.push(&chunk).into_iter().map(Ok).collect(),
                    Err(err) => vec![Err(anyhow!(err).context("the connection was lost"))],
                };
                for event in parsed {
                    if sender.send(event).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { events, reader }
    }

    pub async fn next(&mut self) -> Option<anyhow::Result<ServerEvent>> {
        self.events.recv().await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
