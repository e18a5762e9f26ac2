//! `/metrics`: for whoever collects numbers, and for nobody else.

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tracing::warn;

use crate::{
    app::App,
    mcp::Word,
    telemetry::{self, count},
};

use super::{Server, api, auth, error::ApiError, health};

/// The text format of Prometheus.
const FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `GET /metrics`: with the token of `[metrics]`, or as `/api` is read.
pub async fn show(State(server): State<Server>, headers: HeaderMap) -> Result<Response, ApiError> {
    let config = server.app.generation().config.clone();
    let is_collector = config.metrics.token.as_ref().is_some_and(|own| {
        let sent = auth::bearer_token(&headers).ok().flatten();
        // Digests, so that the time it takes says nothing of the token.
        sent.is_some_and(|it| Sha256::digest(it) == Sha256::digest(own.expose_secret()))
    });
    if !is_collector {
        api::admit(&server, &headers).await?;
    }
    Ok(answer(&server.app).await)
}

/// Serves the metrics, and nothing else, to whoever can connect: `[metrics] listen`.
pub async fn serve(app: App, listener: TcpListener) {
    let stopping = app.stopping.clone();
    let router = Router::new()
        .route("/metrics", get(async |State(app): State<App>| answer(&app).await))
        .with_state(app);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { stopping.cancelled().await })
        .await;
    if let Err(err) = served {
        warn!("the metrics are served no more: {err}");
    }
}

async fn answer(app: &App) -> Response {
    take_stock(app).await;
    let mut response = telemetry::render().into_response();
    response.headers_mut().insert(CONTENT_TYPE, FORMAT);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What is as it is, rather than counted as it happens.
async fn take_stock(app: &App) {
    let generation = app.generation();
    count::generation(*app.changes().borrow() + 1, generation.errors.len());
    count::running_turns(app.running.len());
    let is_up = health::store(app).await.is_ok();
    let (idle, busy) = app.store.connections();
    count::store(is_up, idle, busy);
    let statuses = generation.mcp.statuses();
    for word in [Word::Stopped, Word::Connecting, Word::Ready, Word::NeedsLogin, Word::Failed] {
        count::mcp_servers(word.name(), statuses.iter().filter(|it| it.state == word).count());
    }
}
