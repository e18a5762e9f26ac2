//! The option `credential` of `ctx.http`.

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use url::{Host as UrlHost, Url};

use super::{Host, HttpBody, HttpRequest, HttpResponse};
use crate::{
    plugin::{CallError, Manifest, Need},
    tool::CallContext,
};

impl Host {
    /// The header in which the credential goes to the URL's host, for whoever the call is for.
    pub async fn credential_header(
        &self,
        plugin: &Manifest,
        context: &CallContext,
        name: &str,
        url: &str,
    ) -> Result<(HeaderName, HeaderValue), CallError> {
        plugin.check(&Need::Credential(name)).map_err(CallError::Thrown)?;
        let thrown = |message: String| CallError::Thrown(message);
        let url = Url::parse(url).map_err(|err| thrown(format!("the url is none: {err}")))?;
        let host = url.host_str().unwrap_or_default();
        if !self.credentials.may_go(name, host) {
            return Err(thrown(format!(
                "the credential `{name}` may not go to `{host}`: add `\"{host}\"` to `destinations` of \
                 `[credentials.{name}]` in kitfox.toml"
            )));
        }
        if url.scheme() != "https" && !is_loopback(&url) {
            return Err(thrown(format!(
                "the credential `{name}` is not sent over `{}:`: use https",
                url.scheme()
            )));
        }
        let Some((header, form)) = self.credentials.send(name) else {
            return Err(thrown(format!(
                "nothing says how the credential `{name}` is sent: add `header = \"Authorization: Bearer {{}}\"` to \
                 `[credentials.{name}]` in kitfox.toml"
            )));
        };
        let secret = self.credentials.fetch(name, &context.request).await;
        let secret = secret.map_err(|err| thrown(err.to_string()))?;
        let unusable = || {
            thrown(format!(
                "the credential `{name}` cannot be sent: it is none that a header can hold"
            ))
        };
        let header = HeaderName::from_bytes(header.as_bytes()).map_err(|_| unusable())?;
        let mut value =
            HeaderValue::from_str(&form.replace("{}", secret.expose())).map_err(|_| unusable())?;
        value.set_sensitive(true);
        context.seals.remember(name, &secret);
        Ok((header, value))
    }
}

/// Refuses a request with what stands for a credential in it.
pub fn check(context: &CallContext, request: &HttpRequest) -> Result<(), String> {
    if context.seals.is_empty() {
        return Ok(());
    }
    let text = |text: &str| Value::String(text.to_owned());
    let pairs = request.query.iter().chain(&request.headers);
    let mut parts: Vec<Value> = pairs.flat_map(|(name, value)| [text(name), text(value)]).collect();
    parts.push(text(&request.url));
    match &request.body {
        HttpBody::None => (),
        HttpBody::Json(value) => parts.push(value.clone()),
        HttpBody::Text(body) => parts.push(text(body)),
        HttpBody::Bytes(bytes) => parts.push(text(&String::from_utf8_lossy(bytes))),
    }
    let checked = context.seals.check_elsewhere("`ctx.http`", &Value::Array(parts));
    checked.map_err(|err| err.to_string())
}

/// The answer without the secrets that the turn has used.
pub fn scrub(context: &CallContext, mut answer: HttpResponse) -> HttpResponse {
    if context.seals.is_empty() {
        return answer;
    }
    let scrubber = context.seals.scrubber();
    for value in answer.headers.values_mut() {
        *value = scrubber.scrub(value).into_owned();
    }
    let mut body = Vec::with_capacity(answer.body.len());
    for chunk in answer.body.utf8_chunks() {
        body.extend_from_slice(scrubber.scrub(chunk.valid()).as_bytes());
        body.extend_from_slice(chunk.invalid());
    }
    if body.len() != answer.body.len() {
        answer.headers.remove("content-length");
    }
    answer.body = body;
    answer
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(UrlHost::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(UrlHost::Ipv4(address)) => address.is_loopback(),
        Some(UrlHost::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
