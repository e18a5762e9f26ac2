//! `ctx.http`: fetches for plugins, to hosts that they may name and addresses that they may reach.

mod exchange;

use std::{collections::BTreeMap, time::Duration};

use reqwest::{
    Client, Response,
    header::{HeaderName, HeaderValue, LOCATION},
};
use url::Url;

use self::exchange::Exchange;
use crate::{
    load_error::LoadError,
    net::{AddressRules, Clients, Unreachable, find_source, tls_error},
    plugin::{HttpRequest, HttpResponse, Manifest, Need},
};

/// What becomes of an answer that leads elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    Follow,
    /// It is given as it is.
    Answer,
}

/// Fetches for the plugins of one generation.
pub struct HttpClient(Clients);

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_TIMEOUT: Duration = Duration::from_mins(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 5;
const LONGEST_BODY: usize = 8 * 1024 * 1024;

impl HttpClient {
    /// With `[plugins] allow_addresses`, and what is wrong with it.
    pub fn new(allow_addresses: &[String]) -> (Self, Vec<LoadError>) {
        let (rules, errors) = AddressRules::parse("plugins.allow_addresses", allow_addresses);
        (Self(Clients::new(rules, |it| it.connect_timeout(CONNECT_TIMEOUT))), errors)
    }

    /// Fetches. The error is for the author of the plugin, and tells nothing of the
    /// network that the plugin may not know.
    pub async fn fetch(
        &self,
        plugin: &Manifest,
        request: HttpRequest,
        redirects: Redirects,
        secret: Option<(HeaderName, HeaderValue)>,
    ) -> Result<HttpResponse, String> {
        let timeout = request.timeout.unwrap_or(DEFAULT_TIMEOUT).min(LONGEST_TIMEOUT);
        let exchange = Exchange::new(request, secret)?;
        let origin = origin(&exchange.url);
        let answer = self.follow(plugin, exchange, redirects);
        tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
            Err(format!("`{origin}` did not answer in full within {} s", timeout.as_secs_f64()))
        })
    }

    async fn follow(
        &self,
        plugin: &Manifest,
        mut exchange: Exchange,
        redirects: Redirects,
    ) -> Result<HttpResponse, String> {
        self.check(plugin, &exchange.url)?;
        for _ in 0..=MOST_REDIRECTS {
            let mut response = self.send(plugin, &exchange).await?;
            let target = match redirects {
                Redirects::Follow => redirect_target(&response, &exchange.url)?,
                Redirects::Answer => None,
            };
            let Some(target) = target else {
                let body = read_body(&mut response, &exchange.url).await?;
                return Ok(answer(&response, body));
            };
            self.check(plugin, &target)
                .map_err(|err| format!("`{}` redirects elsewhere: {err}", origin(&exchange.url)))?;
            exchange.redirect(response.status(), target);
        }
        Err(format!("`{}` redirects more than {MOST_REDIRECTS} times", origin(&exchange.url)))
    }

    /// Whether the plugin may name this URL. Names are checked again when they are resolved.
    fn check(&self, plugin: &Manifest, url: &Url) -> Result<(), String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("only http and https can be fetched, not `{}:`", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL with a user's name or password is not fetched: send the header \
                        `authorization` instead"
                .to_owned());
        }
        plugin.check(&Need::Http(url))?;
        if !self.0.admit(url) {
            return Err(unreachable(plugin, url));
        }
        Ok(())
    }

    async fn send(&self, plugin: &Manifest, exchange: &Exchange) -> Result<Response, String> {
        let client = self.client(&exchange.url)?;
        let mut request = client
            .request(exchange.method.clone(), exchange.url.clone())
            .headers(exchange.headers());
        if let Some(body) = &exchange.body {
            request = request.body(body.clone());
        }
        request.send().await.map_err(|err| explain(&err, plugin, &exchange.url))
    }

    fn client(&self, url: &Url) -> Result<Client, String> {
        self.0.get(url).map_err(|err| {
            tracing::error!(error = %err, "the http client of plugins cannot be made: {err}");
            "this server cannot fetch anything: its log says why".to_owned()
        })
    }
}

/// Where the answer leads to, if it is a redirect.
fn redirect_target(response: &Response, url: &Url) -> Result<Option<Url>, String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else {
        return Ok(None);
    };
    let target = str::from_utf8(location.as_bytes()).ok().and_then(|it| url.join(it).ok());
    match target {
        Some(target) => Ok(Some(target)),
        None => Err(format!("`{}` redirects to what is no URL", origin(url))),
    }
}

async fn read_body(response: &mut Response, url: &Url) -> Result<Vec<u8>, String> {
    let too_long =
        || format!("the answer of `{}` is longer than {LONGEST_BODY} bytes", origin(url));
    if response.content_length().is_some_and(|it| it > LONGEST_BODY as u64) {
        return Err(too_long());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|_| format!("`{}` broke off in the middle of its answer", origin(url)))?
    {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn answer(response: &Response, body: Vec<u8>) -> HttpResponse {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    HttpResponse { status: response.status().as_u16(), headers, body }
}

/// Says no address: the error's own text may hold one.
fn explain(err: &reqwest::Error, plugin: &Manifest, url: &Url) -> String {
    let origin = origin(url);
    if find_source(err, |it| it.is::<Unreachable>().then_some(())).is_some() {
        return unreachable(plugin, url);
    }
    if err.is_dns() {
        return format!("there is no host `{}`", url.host_str().unwrap_or_default());
    }
    if let Some(reason) = find_source(err, tls_error) {
        return format!("there is no secure connection to `{origin}`: {reason}");
    }
    if err.is_timeout() {
        return format!("`{origin}` took no connection within {} s", CONNECT_TIMEOUT.as_secs());
    }
    if err.is_connect() {
        return format!("`{origin}` takes no connection");
    }
    if err.is_builder() {
        return format!("the request to `{origin}` is not a valid one");
    }
    format!("`{origin}` broke off before its answer, or gave none that is HTTP")
}

fn unreachable(plugin: &Manifest, url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    format!(
        "plugin `{}` may not reach `{}`: it is not on the public internet, where only the operator lets plugins \
         go; add `{host}:{port}` to `allow_addresses` of `[plugins]` in kitfox.toml",
        plugin.name,
        origin(url)
    )
}

/// What errors call a URL: what stands behind the host may be secret.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests;
