//! Which pages may talk to this server: checked on every route, before anything else.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
        HOST, ORIGIN, VARY,
    },
    request,
    uri::Authority,
};
use axum::{body::Body, response::Response};
use url::{Host, Url};

use crate::config::ServerConfig;

use super::error::ApiError;

/// How long a browser may remember a preflight's answer, in seconds.
const PREFLIGHT_SECONDS: &str = "600";

/// Where the server can be reached from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It listens on a loopback address.
    Loopback,
    Network,
}

/// A request that may pass.
#[derive(Debug, PartialEq)]
pub struct Passed {
    /// The other origin whose page may read the answer.
    cors: Option<HeaderValue>,
}

impl Reach {
    /// Of a server that is started with this configuration.
    pub fn of(config: &ServerConfig) -> Self {
        if config.listens_on_loopback() { Self::Loopback } else { Self::Network }
    }

    /// Whether only this machine can reach the server, and pages are meant for it alone.
    pub fn is_private(self, config: &ServerConfig) -> bool {
        match self {
            Self::Loopback => config.is_public_url_loopback(),
            Self::Network => false,
        }
    }
}

/// Refuses a Host that is not this server's (a foreign name may have been rebound to it), and an Origin
/// that is neither this server's own nor one of `cors_origins`.
pub fn check(
    config: &ServerConfig,
    reach: Reach,
    request: &request::Parts,
) -> Result<Passed, ApiError> {
    let host = find_host(&request.uri, &request.headers, request.version)?;
    if let Some(host) = &host
        && !is_our_host(config, reach, host.host())
    {
        return Err(ApiError::forbidden(format!(
            "`{}` is no name of this server: put it into `[server] public_url`",
            short(host.host())
        )));
    }
    let mut origins = request.headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return Ok(Passed { cors: None });
    };
    let text = origin.to_str().unwrap_or_default();
    if origins.next().is_none() {
        if config.cors_origins.iter().any(|it| it.trim_end_matches('/') == text) {
            return Ok(Passed { cors: Some(origin.clone()) });
        }
        if is_same_origin(config, text, host.as_ref()) {
            return Ok(Passed { cors: None });
        }
    }
    Err(ApiError::forbidden(format!(
        "pages of `{}` may not use this server: put it into `[server] cors_origins`",
        short(text)
    )))
}

impl Passed {
    /// Lets the page that asked read the answer.
    pub fn allow(&self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_name(ORIGIN));
        let Some(origin) = &self.cors else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        let exposed = const { HeaderName::from_static("x-request-id") };
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_name(exposed));
    }
}

/// The answer to the browser's question whether the request that follows may be sent.
pub fn preflight(request: &request::Parts) -> Option<Response> {
    let method = request.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    if request.method != Method::OPTIONS || !request.headers.contains_key(ORIGIN) {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    if let Some(asked) = request.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    let vary = "access-control-request-method, access-control-request-headers";
    headers.append(VARY, HeaderValue::from_static(vary));
    Some(response)
}

/// The name that the client used for this server. Only HTTP/1.0 knows requests without one.
pub fn find_host(
    uri: &Uri,
    headers: &HeaderMap,
    version: Version,
) -> Result<Option<Authority>, ApiError> {
    if let Some(authority) = uri.authority() {
        return Ok(Some(authority.clone()));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) if version == Version::HTTP_10 => return Ok(None),
        (None, _) => return Err(ApiError::bad_request("`Host` is missing")),
        (Some(_), Some(_)) => return Err(ApiError::bad_request("`Host` is there twice")),
    };
    Authority::try_from(host.as_bytes())
        .ok()
        .filter(|it| !it.as_str().contains('@'))
        .filter(|it| it.port_u16().is_some() || it.as_str() == it.host())
        .map(Some)
        .ok_or_else(|| ApiError::bad_request("`Host` is not a name and a port"))
}

fn is_our_host(config: &ServerConfig, reach: Reach, host: &str) -> bool {
    let public = config.public_url.host_str().unwrap_or_default();
    let listed = || {
        config
            .cors_origins
            .iter()
            .filter_map(|it| Url::parse(it).ok())
            .any(|it| it.host_str().is_some_and(|it| it.eq_ignore_ascii_case(host)))
    };
    if is_loopback(host) || host.eq_ignore_ascii_case(public) || listed() {
        return true;
    }
    match reach {
        Reach::Loopback => false,
        // A public URL that is a name on this machine was not set for others. An address cannot be
        // rebound, and probes use it.
        Reach::Network => config.is_public_url_loopback() || is_address(host),
    }
}

fn is_same_origin(config: &ServerConfig, origin: &str, host: Option<&Authority>) -> bool {
    let Ok(url) = Url::parse(origin) else {
        return false;
    };
    if url.origin() == config.public_url.origin() {
        return true;
    }
    let (Some(name), Some(host)) = (url.host_str(), host) else {
        return false;
    };
    // The scheme is the proxy's affair: only the page's own says which port goes without saying.
    let default = match url.scheme() {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    name.eq_ignore_ascii_case(host.host())
        && url.port().unwrap_or(default) == host.port_u16().unwrap_or(default)
}

fn is_loopback(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name == "localhost",
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Err(_) => false,
    }
}

fn is_address(host: &str) -> bool {
    matches!(Host::parse(host), Ok(Host::Ipv4(_) | Host::Ipv6(_)))
}

/// What a stranger sent, at a length that can be shown.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::Request;

    use super::*;

    fn config() -> ServerConfig {
        ServerConfig {
            listen: "127.0.0.1:8000".to_owned(),
            cors_origins: vec!["https://docs.example.com".to_owned()],
            public_url: Url::parse("http://localhost:8000").unwrap(),
            chatkit_paths: vec!["/chatkit".to_owned()],
            visible_headers: Vec::new(),
            shutdown_grace: Duration::ZERO,
            public_url_source: crate::config::PublicUrlSource::Written,
        }
    }

    fn request(headers: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().method("POST").uri("/chatkit");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[track_caller]
    fn check_host(config: &ServerConfig, reach: Reach, host: &str, allowed: bool) {
        let result = check(config, reach, &request(&[("host", host)]));
        assert_eq!(result.is_ok(), allowed, "{host}: {result:?}");
    }

    #[track_caller]
    fn check_origin(config: &ServerConfig, host: &str, origin: &str, allowed: bool) {
        let result = check(config, Reach::Network, &request(&[("host", host), ("origin", origin)]));
        assert_eq!(result.is_ok(), allowed, "{origin}: {result:?}");
    }

    #[test]
    fn on_loopback_only_names_of_this_server_are_served() {
        let config = config();
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "docs.example.com"]
        {
            check_host(&config, Reach::Loopback, host, true);
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "x",
            "10.0.0.1",
            "a@localhost",
            "",
            "localhost:x",
        ] {
            check_host(&config, Reach::Loopback, host, false);
        }
    }

    #[test]
    fn on_the_network_any_name_is_served_until_a_public_url_is_set() {
        check_host(&config(), Reach::Network, "chat.example.org", true);
        let config = ServerConfig {
            public_url: Url::parse("https://chat.example.org").unwrap(),
            ..config()
        };
        check_host(&config, Reach::Network, "chat.example.org", true);
        check_host(&config, Reach::Network, "10.1.2.3:8000", true);
        check_host(&config, Reach::Network, "localhost:8000", true);
        check_host(&config, Reach::Network, "evil.example", false);
    }

    #[test]
    fn a_page_of_another_origin_is_refused_unless_it_is_listed() {
        let config = config();
        check_origin(&config, "localhost:8000", "http://localhost:8000", true);
        check_origin(&config, "127.0.0.1:8000", "http://127.0.0.1:8000", true);
        check_origin(&config, "chat.example.org", "https://chat.example.org", true);
        check_origin(&config, "chat.example.org:443", "https://chat.example.org", true);
        check_origin(&config, "localhost:8000", "https://docs.example.com", true);
        check_origin(&config, "localhost:8000", "http://localhost:3000", false);
        check_origin(&config, "localhost:8000", "http://docs.example.com", false);
        check_origin(&config, "localhost:8000", "https://docs.example.com.evil.example", false);
        check_origin(&config, "localhost:8000", "null", false);
        check_origin(&config, "localhost:8000", "", false);
        check_origin(&config, "localhost:8000", "file://localhost:8000", false);
    }

    #[test]
    fn a_request_names_one_host() {
        let config = config();
        let none = check(&config, Reach::Network, &request(&[])).unwrap_err();
        assert_eq!(none.status, StatusCode::BAD_REQUEST);
        let two = request(&[("host", "localhost"), ("host", "evil.example")]);
        assert!(check(&config, Reach::Network, &two).is_err());
    }

    #[test]
    fn a_listed_origin_may_ask_and_read() {
        let parts = {
            let mut parts = request(&[
                ("host", "localhost:8000"),
                ("origin", "https://docs.example.com"),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type, chatkit-frame-instance-id"),
            ]);
            parts.method = Method::OPTIONS;
            parts
        };
        let passed = check(&config(), Reach::Loopback, &parts).unwrap();
        let mut response = preflight(&parts).unwrap();
        passed.allow(&mut response);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let mut headers: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        insta::assert_snapshot!(headers.join("\n"), @r"
        access-control-allow-credentials: true
        access-control-allow-headers: content-type, chatkit-frame-instance-id
        access-control-allow-methods: POST
        access-control-allow-origin: https://docs.example.com
        access-control-expose-headers: x-request-id
        access-control-max-age: 600
        vary: access-control-request-method, access-control-request-headers
        vary: origin
        ");
    }

    #[test]
    fn a_server_is_private_while_both_its_names_are_loopback() {
        let local = config();
        let public = ServerConfig {
            public_url: Url::parse("https://chat.example.org").unwrap(),
            ..config()
        };
        let open = ServerConfig { listen: "0.0.0.0:8000".to_owned(), ..config() };
        assert!(Reach::of(&local).is_private(&local));
        assert!(!Reach::of(&local).is_private(&public));
        assert!(!Reach::of(&open).is_private(&open));
        // The listening socket stays as it was until a restart.
        assert!(!Reach::of(&open).is_private(&local));
    }
}
