use bytes::Bytes;
use reqwest::{
    Method, StatusCode,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, COOKIE,
        HeaderMap, HeaderName, HeaderValue,
    },
};
use url::Url;

use crate::plugin::{HttpBody, HttpRequest};

/// One request and what becomes of it from redirect to redirect.
#[derive(Debug)]
pub struct Exchange {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    /// A credential, for the host that it was asked for alone.
    pub secret: Option<(HeaderName, HeaderValue)>,
}

/// These belong to the connection: a script that sets them could end one request in another.
const NOT_FOR_SCRIPTS: &[&str] = &[
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
];

/// About a body that is not sent again.
const OF_THE_BODY: &[HeaderName] =
    &[CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION];

/// For one origin alone.
const OF_THE_ORIGIN: &[HeaderName] = &[AUTHORIZATION, COOKIE];

impl Exchange {
    pub fn new(
        request: HttpRequest,
        secret: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Self, String> {
        let HttpRequest { method, url, query, headers, body, timeout: _, credential: _ } = request;
        let method = parse_method(&method)?;
        let mut url = parse_url(&url)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut headers = parse_headers(&headers)?;
        let (body, content_type) = match body {
            HttpBody::None => (None, None),
            HttpBody::Json(value) => {
                (Some(Bytes::from(value.to_string())), Some("application/json"))
            }
            HttpBody::Text(text) => (Some(Bytes::from(text)), Some("text/plain; charset=utf-8")),
            HttpBody::Bytes(bytes) => (Some(Bytes::from(bytes)), None),
        };
        if let Some(content_type) = content_type {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        }
        Ok(Self { method, url, headers, body, secret })
    }

    /// All that is sent, a credential in place of what the plugin says under the same name.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some((name, value)) = &self.secret {
            headers.insert(name, value.clone());
        }
        headers
    }

    /// Goes on to `target` as browsers do: <https://fetch.spec.whatwg.org/#http-redirect-fetch>.
    pub fn redirect(&mut self, status: StatusCode, target: Url) {
        let is_post = self.method == Method::POST;
        let is_plain_get = self.method == Method::GET || self.method == Method::HEAD;
        let becomes_get = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => is_post,
            StatusCode::SEE_OTHER => !is_plain_get,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = None;
            for name in OF_THE_BODY {
                self.headers.remove(name);
            }
        }
        if target.origin() != self.url.origin() {
            for name in OF_THE_ORIGIN {
                self.headers.remove(name);
            }
            self.secret = None;
        }
        self.url = target;
    }
}

fn parse_method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_err(|_| {
        format!("`{}` is no method: write `GET`, `POST` or the like", text.escape_debug())
    })?;
    if matches!(method.as_str(), "CONNECT" | "TRACE" | "TRACK") {
        return Err(format!("the method `{method}` cannot be used"));
    }
    Ok(method)
}

fn parse_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|err| {
        // What stands before an `@` and behind the path may be secret.
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let shown: String = path.rsplit('@').next().unwrap_or_default().chars().take(100).collect();
        format!("`{shown}` is no URL ({err}): write it in full, as `https://example.org/path`")
    })
}

fn parse_headers(list: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("`{}` is no header's name", name.escape_debug()))?;
        if NOT_FOR_SCRIPTS.contains(&header.as_str()) || header.as_str().starts_with("proxy-") {
            return Err(format!("the header `{header}` is set by Kitfox alone: leave it out"));
        }
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("the header `{header}` holds a line break or another character that headers cannot hold"))?;
        headers.append(header, value);
    }
    Ok(headers)
}
