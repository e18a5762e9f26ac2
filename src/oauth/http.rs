//! How authorization servers are asked: only at addresses that may be reached, never along a redirect, and not for long.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Client, RequestBuilder, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::net::{AddressRules, Clients, Unreachable, find_source, is_near, tls_error};

const TIMEOUT: Duration = Duration::from_secs(15);
const LONGEST_BODY: usize = 256 * 1024;

/// Asks authorization servers.
pub struct Http {
    /// What the operator allows.
    listed: Door,
    /// That, and what is near.
    near: Option<Door>,
}

/// What was answered.
pub struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

/// What is sent along for a client to be known.
pub enum ClientProof<'a> {
    None,
    /// Its id and its secret.
    Basic(&'a str, &'a str),
}

impl Http {
    /// `allow`: private addresses that may be reached. `is_local`: so may everything near, while the server that
    /// speaks of it is near itself.
    pub fn new(allow: &[String], is_local: bool) -> Self {
        // What is wrong with `allow` is told where it is read.
        let rules = || AddressRules::parse("mcp.allow", allow).0;
        let near = is_local.then(|| Door::new(rules().with_private()));
        Self { listed: Door::new(rules()), near }
    }

    /// For a server that the operator names: it may be near, whatever it is called.
    pub fn of_operator() -> Self {
        Self { listed: Door::new(AddressRules::default().with_private()), near: None }
    }

    /// For what `resource` speaks of. A server on the internet has nothing to say of what is near.
    pub fn for_resource(&self, resource: &Url) -> &Door {
        match &self.near {
            Some(near) if is_near(resource) => near,
            Some(_) | None => &self.listed,
        }
    }
}

/// One set of rules, and the clients that keep to it.
pub struct Door(Clients);

impl Door {
    fn new(rules: AddressRules) -> Self {
        Self(Clients::new(rules, |it| it.timeout(TIMEOUT)))
    }

    pub async fn get(&self, url: &Url) -> Result<Answer, String> {
        let request = self.client(url)?.get(url.clone()).header(ACCEPT, "application/json");
        send(request, url).await
    }

    pub async fn get_with_token(&self, url: &Url, token: &str) -> Result<Answer, String> {
        let request = self.client(url)?.get(url.clone()).header(ACCEPT, "application/json");
        send(request.bearer_auth(token), url).await
    }

    pub async fn post_json(&self, url: &Url, body: &Value) -> Result<Answer, String> {
        let request = self.client(url)?.post(url.clone()).header(ACCEPT, "application/json");
        send(request.json(body), url).await
    }

    pub async fn post_form(
        &self,
        url: &Url,
        proof: ClientProof<'_>,
        fields: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self
            .client(url)?
            .post(url.clone())
            .header(ACCEPT, "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let ClientProof::Basic(id, secret) = proof {
            let encoded =
                |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
            let mut value = HeaderValue::try_from(format!("Basic {pair}"))
                .map_err(|_| "the client's secret cannot be sent".to_owned())?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        send(request, url).await
    }

    /// Asks an MCP server without any token, to hear what it wants: the values of `WWW-Authenticate`.
    pub async fn probe(&self, url: &Url) -> Result<Vec<String>, String> {
        let initialize = json!({
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "kitfox", "version": env!("CARGO_PKG_VERSION") },
        });
        // Some let everybody in, and want a token for what comes then.
        for (method, params) in [("initialize", initialize), ("tools/list", json!({}))] {
            let body = json!({ "jsonrpc": "2.0", "id": 0, "method": method, "params": params });
            let request = self
                .client(url)?
                .post(url.clone())
                .header(ACCEPT, "application/json, text/event-stream")
                .json(&body);
            // A stream that it may begin is of no interest.
            let response = request.send().await.map_err(|err| explain(&err, url))?;
            let challenges = challenges(&response);
            if !challenges.is_empty() {
                return Ok(challenges);
            }
        }
        Ok(Vec::new())
    }

    fn client(&self, url: &Url) -> Result<Client, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}:` is no scheme of an authorization server", url.scheme()));
        }
        if !self.0.admit(url) {
            return Err(unreachable(url));
        }
        self.0.get(url).map_err(|err| {
            tracing::error!(error = %err, "the http client for logins cannot be made: {err}");
            "this server cannot ask anything: its log says why".to_owned()
        })
    }
}

async fn send(request: RequestBuilder, url: &Url) -> Result<Answer, String> {
    let mut response = request.send().await.map_err(|err| explain(&err, url))?;
    if response.status().is_redirection() {
        return Err(format!("`{}` redirects, which is not followed", origin(url)));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|err| explain(&err, url))? {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(format!(
                "the answer of `{}` is longer than {LONGEST_BODY} bytes",
                origin(url)
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), body })
}

fn challenges(response: &reqwest::Response) -> Vec<String> {
    let values = response.headers().get_all(WWW_AUTHENTICATE).iter();
    values.filter_map(|it| it.to_str().ok()).map(str::to_owned).collect()
}

/// Says no address and no path.
fn explain(err: &reqwest::Error, url: &Url) -> String {
    if find_source(err, |it| it.is::<Unreachable>().then_some(())).is_some() {
        return unreachable(url);
    }
    if let Some(reason) = find_source(err, tls_error) {
        return format!("there is no secure connection to `{}`: {reason}", origin(url));
    }
    if err.is_timeout() {
        return format!("`{}` did not answer within {} s", origin(url), TIMEOUT.as_secs());
    }
    if err.is_connect() {
        return format!("`{}` takes no connection", origin(url));
    }
    format!("`{}` broke off before its answer", origin(url))
}

fn unreachable(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    format!(
        "`{}` is not on the public internet: add `{host}:{port}` to `allow` of `[mcp]` in kitfox.toml",
        origin(url)
    )
}

/// What errors call a URL: what stands behind the host may be secret.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
