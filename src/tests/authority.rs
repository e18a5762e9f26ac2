//! An authorization server, and an MCP server that takes its tokens: on loopback, as strict as real ones, and as wrong as
//! a test wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::IntoFuture,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use crate::oauth::Callback;

pub struct Authority {
    base: Url,
    state: Arc<Mutex<Inner>>,
    _running: DropGuard,
}

#[derive(Default)]
struct Inner {
    base: String,
    registrations: usize,
    /// What was asked for, by code.
    codes: BTreeMap<String, BTreeMap<String, String>>,
    /// What each access token and each refresh token is good for.
    access: BTreeMap<String, String>,
    refresh: BTreeMap<String, String>,
    /// Refresh tokens that were used: another use revokes all.
    spent: BTreeSet<String>,
    issued: usize,
    refreshes: usize,
    token_requests: usize,
    last_token_request: BTreeMap<String, String>,
    is_family_revoked: bool,
    fails: bool,
    delay: Duration,
    /// In place of what is right.
    advertised: Option<String>,
    server: Option<String>,
    resource: Option<String>,
    redirects: bool,
    redirected: usize,
    changes: Map<String, Value>,
    exchanges: usize,
    exchange_changes: Map<String, Value>,
    /// What the MCP server answers without any token.
    open: &'static [&'static str],
    /// By method: what a token has to be good for.
    needs: BTreeMap<&'static str, &'static str>,
    /// In place of the right challenge.
    challenge: Option<String>,
    /// What the MCP server was called with.
    calls: Vec<String>,
}

type Shared = Arc<Mutex<Inner>>;

impl Authority {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let state: Shared = Arc::new(Mutex::new(Inner { base: base.clone(), ..Inner::default() }));
        let router = Router::new()
            .route("/mcp", post(mcp))
            .route("/.well-known/oauth-protected-resource/mcp", get(resource_metadata))
            .route("/elsewhere", get(elsewhere))
            .route("/auth/.well-known/openid-configuration", get(server_metadata))
            .route("/auth/authorize", get(authorize))
            .route("/auth/token", post(token))
            .route("/auth/register", post(register))
            .with_state(state.clone());
        let running = CancellationToken::new();
        let stop = running.clone();
        let serving = async move {
            let server = axum::serve(listener, router);
            tokio::select! {
                result = server.into_future() => result.unwrap(),
                () = stop.cancelled() => (),
            }
        };
        tokio_util::task::TaskTracker::new().spawn(serving);
        Self { base: Url::parse(&base).unwrap(), state, _running: running.drop_guard() }
    }

    /// The MCP server's URL.
    pub fn resource(&self) -> Url {
        self.base.join("/mcp").unwrap()
    }

    /// What a user's browser does at the authorization server: follows the URL, agrees, is sent back.
    pub async fn log_in(&self, url: &Url) -> Callback {
        let location = self.visit(url).await;
        callback_of(&location)
    }

    /// Where the browser is sent back to.
    pub async fn visit(&self, url: &Url) -> Url {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let response = client.build().unwrap().get(url.clone()).send().await.unwrap();
        assert_eq!(response.status(), 302, "{url}");
        Url::parse(response.headers()[LOCATION].to_str().unwrap()).unwrap()
    }

    pub fn registrations(&self) -> usize {
        self.lock().registrations
    }

    pub fn refreshes(&self) -> usize {
        self.lock().refreshes
    }

    pub fn token_requests(&self) -> usize {
        self.lock().token_requests
    }

    pub fn last_token_request(&self) -> BTreeMap<String, String> {
        self.lock().last_token_request.clone()
    }

    pub fn is_family_revoked(&self) -> bool {
        self.lock().is_family_revoked
    }

    pub fn redirected(&self) -> usize {
        self.lock().redirected
    }

    /// The tokens that tools were called with, in order.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// No access token is good any more; refresh tokens are.
    pub fn expire_tokens(&self) {
        self.lock().access.clear();
    }

    /// Neither is any refresh token.
    pub fn revoke(&self) {
        let mut inner = self.lock();
        inner.access.clear();
        inner.refresh.clear();
    }

    pub fn fail_tokens(&self, fails: bool) {
        self.lock().fails = fails;
    }

    pub fn delay_tokens(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Where the MCP server says that its metadata are; empty: where they are.
    pub fn advertise(&self, url: &str) {
        self.lock().advertised = Some(url.to_owned()).filter(|it| !it.is_empty());
    }

    /// Who the metadata say is the authorization server; empty: who it is.
    pub fn name_server(&self, url: &str) {
        self.lock().server = Some(url.to_owned()).filter(|it| !it.is_empty());
    }

    pub fn name_resource(&self, url: &str) {
        self.lock().resource = Some(url.to_owned());
    }

    pub fn redirect_metadata(&self, redirects: bool) {
        self.lock().redirects = redirects;
    }

    /// Null puts what is right back.
    pub fn change_metadata(&self, key: &str, value: Value) {
        let mut inner = self.lock();
        if value.is_null() {
            inner.changes.remove(key);
        } else {
            inner.changes.insert(key.to_owned(), value);
        }
    }

    /// The token endpoint.
    pub fn token_endpoint(&self) -> Url {
        self.base.join("/auth/token").unwrap()
    }

    /// How often a token was exchanged, or refused to be.
    pub fn exchanges(&self) -> usize {
        self.lock().exchanges
    }

    /// Changes what an exchange is answered; with an `error` it is refused.
    pub fn change_exchange(&self, key: &str, value: Value) {
        self.lock().exchange_changes.insert(key.to_owned(), value);
    }

    /// The MCP server answers these methods to anybody.
    pub fn open(&self, methods: &'static [&'static str]) {
        self.lock().open = methods;
    }

    /// The MCP server answers this method to tokens that are good for `scope`.
    pub fn need(&self, method: &'static str, scope: &'static str) {
        self.lock().needs.insert(method, scope);
    }

    /// The MCP server says this, and not that it knows tokens.
    pub fn challenge(&self, header: &str) {
        self.lock().challenge = Some(header.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap()
    }
}

fn callback_of(url: &Url) -> Callback {
    let mut query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    Callback {
        state: query.remove("state"),
        code: query.remove("code"),
        iss: query.remove("iss"),
        error: query.remove("error"),
    }
}

async fn resource_metadata(State(state): State<Shared>) -> Response {
    let inner = state.lock().unwrap();
    if inner.redirects {
        let location = format!("{}/elsewhere", inner.base);
        return (StatusCode::FOUND, [(LOCATION, location)]).into_response();
    }
    let resource = inner.resource.clone().unwrap_or_else(|| format!("{}/mcp", inner.base));
    let server = inner.server.clone().unwrap_or_else(|| format!("{}/auth", inner.base));
    Json(json!({
        "resource": resource, "authorization_servers": [server], "scopes_supported": ["calendar.read"],
    }))
    .into_response()
}

async fn elsewhere(State(state): State<Shared>) -> StatusCode {
    state.lock().unwrap().redirected += 1;
    StatusCode::OK
}

async fn server_metadata(State(state): State<Shared>) -> Json<Value> {
    let inner = state.lock().unwrap();
    let base = format!("{}/auth", inner.base);
    let mut metadata = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "registration_endpoint": format!("{base}/register"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["calendar.read", "calendar.write", "offline_access"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "authorization_response_iss_parameter_supported": true,
    });
    for (key, value) in &inner.changes {
        metadata[key] = value.clone();
    }
    Json(metadata)
}

async fn register(State(state): State<Shared>, Json(body): Json<Value>) -> Response {
    let mut inner = state.lock().unwrap();
    inner.registrations += 1;
    assert!(body["redirect_uris"][0].as_str().unwrap().ends_with("/oauth/callback"), "{body}");
    let client_id = format!("registered-{}", inner.registrations);
    (StatusCode::CREATED, Json(json!({ "client_id": client_id }))).into_response()
}

/// Whoever comes agrees.
async fn authorize(
    State(state): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut inner = state.lock().unwrap();
    assert_eq!(query["response_type"], "code");
    assert_eq!(query["code_challenge_method"], "S256");
    inner.issued += 1;
    let code = format!("code-{}", inner.issued);
    let mut back = Url::parse(&query["redirect_uri"]).unwrap();
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &query["state"])
        .append_pair("iss", &format!("{}/auth", inner.base));
    inner.codes.insert(code, query);
    (StatusCode::FOUND, [(LOCATION, back.to_string())]).into_response()
}

async fn token(State(state): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let mut form: BTreeMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let delay = state.lock().unwrap().delay;
    tokio::time::sleep(delay).await;
    let mut inner = state.lock().unwrap();
    inner.token_requests += 1;
    if let Some(basic) = headers.get("authorization") {
        let basic = basic.to_str().unwrap().strip_prefix("Basic ").unwrap();
        let pair = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
        form.insert("basic".to_owned(), pair);
    }
    inner.last_token_request = form.clone();
    if inner.fails {
        return (StatusCode::BAD_GATEWAY, "down").into_response();
    }
    let refused =
        |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    let scope = match form["grant_type"].as_str() {
        "urn:ietf:params:oauth:grant-type:token-exchange" => return exchange(&mut inner, &form),
        "authorization_code" => {
            let Some(asked) = inner.codes.remove(&form["code"]) else {
                return refused("invalid_grant");
            };
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
            if challenge != asked["code_challenge"] || form["redirect_uri"] != asked["redirect_uri"]
            {
                return refused("invalid_grant");
            }
            asked.get("scope").cloned().unwrap_or_default()
        }
        "refresh_token" => {
            let refresh_token = &form["refresh_token"];
            inner.refreshes += 1;
            if inner.spent.contains(refresh_token) {
                inner.is_family_revoked = true;
                inner.refresh.clear();
                inner.access.clear();
            }
            let Some(scope) = inner.refresh.remove(refresh_token) else {
                return refused("invalid_grant");
            };
            inner.spent.insert(refresh_token.clone());
            scope
        }
        _ => return refused("unsupported_grant_type"),
    };
    inner.issued += 1;
    let (access, refresh) =
        (format!("access-token-{}", inner.issued), format!("refresh-token-{}", inner.issued));
    inner.access.insert(access.clone(), scope.clone());
    inner.refresh.insert(refresh.clone(), scope);
    Json(json!({
        "access_token": access, "token_type": "bearer", "expires_in": 3600, "refresh_token": refresh,
    }))
    .into_response()
}

/// A token for another (RFC 8693).
fn exchange(inner: &mut Inner, form: &BTreeMap<String, String>) -> Response {
    inner.exchanges += 1;
    assert_eq!(form["subject_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    inner.issued += 1;
    let token = format!("exchanged-token-{}", inner.issued);
    inner.access.insert(token.clone(), form.get("scope").cloned().unwrap_or_default());
    let mut answer = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": 600,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    });
    for (key, value) in &inner.exchange_changes {
        // `SUBJECT`: the token that was sent.
        answer[key] = match value.as_str() {
            Some(text) => text.replace("SUBJECT", &form["subject_token"]).into(),
            None => value.clone(),
        };
    }
    let is_refused = answer["error"].is_string();
    let status = if is_refused { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    (status, Json(answer)).into_response()
}

/// An MCP server with one tool, of the era of 2025 and without sessions.
async fn mcp(State(state): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let mut inner = state.lock().unwrap();
    let token = headers.get("authorization").and_then(|it| it.to_str().ok());
    let token = token.and_then(|it| it.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
    let request: Value = serde_json::from_str(&body).unwrap_or_default();
    let method = request["method"].as_str().unwrap_or_default();
    let scope = inner.access.get(&token).cloned();
    if scope.is_none()
        && !inner.open.contains(&method)
        && let Some(challenge) = inner.challenge.clone()
    {
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
    }
    if scope.is_none() && !inner.open.contains(&method) {
        let place = inner
            .advertised
            .clone()
            .unwrap_or_else(|| format!("{}/.well-known/oauth-protected-resource/mcp", inner.base));
        let challenge = format!("Bearer error=\"invalid_token\", resource_metadata=\"{place}\"");
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
    }
    let has = |needed: &str| scope.is_some_and(|it| it.split(' ').any(|it| it == needed));
    if let Some(needed) = inner.needs.get(method).filter(|it| !has(it)) {
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\"");
        return (StatusCode::FORBIDDEN, [("www-authenticate", challenge)]).into_response();
    }
    let result = match method {
        "initialize" => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "calendar", "version": "1" },
        }),
        "tools/list" => json!({ "tools": [{
            "name": "next", "description": "The next event.", "inputSchema": { "type": "object" },
            "annotations": { "readOnlyHint": true },
        }] }),
        "tools/call" => {
            inner.calls.push(token);
            json!({ "content": [{ "type": "text", "text": "lunch at noon" }] })
        }
        "ping" => json!({}),
        _ if request["id"].is_null() => return StatusCode::ACCEPTED.into_response(),
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            return Json(answer).into_response();
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}
