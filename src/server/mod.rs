//! HTTP: bytes in, bytes out; decides nothing.

mod address;
mod api;
mod assets;
mod assistant;
mod attachments;
mod auth;
mod body;
mod chatkit;
mod connection;
mod context;
mod credentials;
mod error;
mod guard;
mod health;
mod html;
mod limits;
mod local;
mod mcp;
mod metrics;
mod oauth;
mod page;
mod patient;
mod routes;
mod sign_in;
mod simple;
mod sse;
mod trace;
mod turns;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::header::ORIGIN,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post, put},
};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Span;

use crate::{app::App, telemetry};

use self::{
    auth::{Providers, Sessions},
    error::ApiError,
    guard::Reach,
};

pub use self::{
    auth::{Peer, Verifiers},
    connection::serve,
    local::Local,
    metrics::serve as serve_metrics,
};

/// Paths that no mount of a plugin may take, nor anything below them.
const BUILT_IN: &[&str] = &[
    "/x",
    "/api",
    "/assistant",
    "/auth",
    "/credentials",
    "/mcp",
    "/oauth",
    "/healthz",
    "/readyz",
    "/metrics",
    "/favicon.ico",
];

/// What the handlers share. Clones share it.
#[derive(Clone)]
pub struct Server {
    pub app: App,
    pub reach: Reach,
    pub sessions: Arc<Sessions>,
    pub verifiers: Arc<Verifiers>,
    pub providers: Arc<Providers>,
}

/// Every route of the server.
pub fn router(app: App) -> Router {
    telemetry::install();
    // As it was at start: a later change of `listen` waits for a restart.
    let reach = Reach::of(&app.generation().config.server);
    let server = Server {
        app,
        reach,
        sessions: Arc::default(),
        verifiers: Arc::default(),
        providers: Arc::default(),
    };
    let mut router = Router::new()
        .route("/", get(page::index))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/api/generation", get(api::generation))
        .route("/api/tools", get(api::tools))
        .route("/api/mcp", get(api::mcp))
        .route("/api/events", get(api::events))
        .route("/api/credentials", get(credentials::all))
        .route("/api/credentials/{name}", put(credentials::put).delete(credentials::remove))
        .route("/auth/login", get(sign_in::begin))
        .route("/auth/callback", get(sign_in::callback))
        .route("/auth/logout", post(sign_in::end))
        .route("/credentials", get(credentials::index).post(credentials::submit))
        .route("/oauth/start/{key}", get(oauth::start))
        .route("/oauth/callback", get(oauth::callback))
        .route("/oauth/client.json", get(oauth::client))
        .route("/assistant/chatkit", post(assistant::answer))
        .route("/mcp", post(mcp::answer))
        .route("/.well-known/oauth-protected-resource", get(mcp::metadata::answer))
        .route("/.well-known/oauth-protected-resource/mcp", get(mcp::metadata::answer))
        .route("/x/{*path}", any(plugin_route));
    for asset in assets::all().iter().filter(|it| it.path != "/index.html") {
        let answer =
            async |request: Request| asset.answer(request.headers(), request.uri().query());
        router = router.route(asset.path, get(answer));
    }
    router
        .fallback(configured)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(server.clone(), refuse_while_stopping))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(server.clone(), guard))
        .layer(middleware::from_fn(trace::trace))
        .with_state(server)
}

/// What answers at the paths that kitfox.toml sets, which may change at any time.
async fn configured(State(server): State<Server>, request: Request) -> Response {
    let config = server.app.generation().config.clone();
    let path = request.uri().path().to_owned();
    let chatkit_paths = &config.server.chatkit_paths;
    if chatkit_paths.contains(&path) {
        return named("chatkit", Box::pin(chatkit::answer(&server, request))).await;
    }
    if let Some(path) = path.strip_suffix("/options")
        && chatkit_paths.iter().any(|it| it == path)
    {
        return named("chatkit/options", Box::pin(chatkit::options(&server, request))).await;
    }
    if let Some((chat, target)) = attachments::find(chatkit_paths, &path) {
        let answer = attachments::answer(&server, chat, target, request);
        return named("chatkit/attachments", Box::pin(answer)).await;
    }
    if let Some(target) = turns::find(chatkit_paths, &path) {
        return named("chatkit/threads", Box::pin(turns::answer(&server, target, request))).await;
    }
    let built_in = BUILT_IN.iter().copied().chain(chatkit_paths.iter().map(String::as_str));
    if built_in.into_iter().any(|it| routes::is_below(&path, it)) {
        return ApiError::no_such_path().into_response();
    }
    let Some(target) = routes::mounted(&config.routes, &path) else {
        return ApiError::no_such_path().into_response();
    };
    named("mounted", Box::pin(routes::answer(&server, target, request))).await
}

/// The answer of a route that the router does not know by its pattern.
async fn named(
    route: &'static str,
    answer: impl Future<Output = Result<Response, ApiError>>,
) -> Response {
    Span::current().record("route", route);
    let mut response = answer.await.into_response();
    response.extensions_mut().insert(trace::Route(route));
    response
}

async fn plugin_route(
    State(server): State<Server>,
    request: Request,
) -> Result<Response, ApiError> {
    let target = routes::below_x(request.uri().path())?;
    routes::answer(&server, target, request).await
}

/// The router adds which methods the path takes.
async fn wrong_method() -> ApiError {
    ApiError::new(axum::http::StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method")
}

/// Host, Origin and CORS, on every route.
async fn guard(State(server): State<Server>, request: Request, next: Next) -> Response {
    let config = server.app.generation().config.clone();
    let (mut parts, body) = request.into_parts();
    auth::forget_untrusted(&config.auth, &mut parts);
    if assets::is_for_everyone(parts.uri.path()) {
        parts.headers.remove(ORIGIN);
    }
    let passed = match guard::check(&config.server, server.reach, &parts) {
        Ok(passed) => passed,
        // Its body is not read.
        Err(err) => return err.closing().into_response(),
    };
    let mut response = if let Some(response) = guard::preflight(&parts) {
        response
    } else {
        let address = address::find(&parts, config.auth.trusted_proxies.as_ref());
        match limits::admit_address(&server, parts.uri.path(), address).await {
            Ok(()) => address::serve(address, next.run(Request::from_parts(parts, body))).await,
            Err(err) => err.closing().into_response(),
        }
    };
    passed.allow(&mut response);
    response
}

/// Connections that are still open bring no new work.
async fn refuse_while_stopping(
    State(server): State<Server>,
    request: Request,
    next: Next,
) -> Response {
    let asks_for_state = ["/healthz", "/readyz"].contains(&request.uri().path());
    if server.app.stopping.is_cancelled() && !asks_for_state {
        return ApiError::unavailable("the server is stopping").into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::StatusCode};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        async fn panics() {
            panic!("on purpose")
        }
        let router = Router::new()
            .route("/", get(panics))
            .layer(CatchPanicLayer::custom(error::panicked))
            .layer(middleware::from_fn(trace::trace));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key("x-request-id"));
    }
}
