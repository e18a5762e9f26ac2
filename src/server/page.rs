//! The page at `/`, as it was built in.

use std::fmt::Write as _;

use axum::{
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
            REFERRER_POLICY, SET_COOKIE, X_FRAME_OPTIONS,
        },
    },
    response::Response,
};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Server, auth};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Where the page talks to; replaced by the first of `chatkit_paths`.
const ENDPOINT: &str = r#"<meta name="chatkit-endpoint" content="chatkit">"#;

const PAGE: &str = include_str!("../../web/plain/index.html");

/// Which hosts an image may come from is a matter of each thread, and the page keeps to it.
const POLICY: &str = "default-src 'self'; img-src 'self' data: https:; connect-src 'self'; \
                      object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What the page loads.
pub struct Asset {
    pub path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

pub const ASSETS: &[Asset] = &[
    Asset::new("/api.js", JAVASCRIPT, include_bytes!("../../web/plain/api.js")),
    Asset::new("/app.js", JAVASCRIPT, include_bytes!("../../web/plain/app.js")),
    Asset::new("/asks.js", JAVASCRIPT, include_bytes!("../../web/plain/asks.js")),
    Asset::new("/conversation.js", JAVASCRIPT, include_bytes!("../../web/plain/conversation.js")),
    Asset::new("/dom.js", JAVASCRIPT, include_bytes!("../../web/plain/dom.js")),
    Asset::new("/forms.js", JAVASCRIPT, include_bytes!("../../web/plain/forms.js")),
    Asset::new("/icons.js", JAVASCRIPT, include_bytes!("../../web/plain/icons.js")),
    Asset::new("/inspector.js", JAVASCRIPT, include_bytes!("../../web/plain/inspector.js")),
    Asset::new("/items.js", JAVASCRIPT, include_bytes!("../../web/plain/items.js")),
    Asset::new("/links.js", JAVASCRIPT, include_bytes!("../../web/plain/links.js")),
    Asset::new("/markdown.js", JAVASCRIPT, include_bytes!("../../web/plain/markdown.js")),
    Asset::new("/markdown-view.js", JAVASCRIPT, include_bytes!("../../web/plain/markdown-view.js")),
    Asset::new("/sse.js", JAVASCRIPT, include_bytes!("../../web/plain/sse.js")),
    Asset::new("/tasks.js", JAVASCRIPT, include_bytes!("../../web/plain/tasks.js")),
    Asset::new("/threads.js", JAVASCRIPT, include_bytes!("../../web/plain/threads.js")),
    Asset::new("/updates.js", JAVASCRIPT, include_bytes!("../../web/plain/updates.js")),
    Asset::new("/uploads.js", JAVASCRIPT, include_bytes!("../../web/plain/uploads.js")),
    Asset::new("/widget-parts.js", JAVASCRIPT, include_bytes!("../../web/plain/widget-parts.js")),
    Asset::new("/widget-style.js", JAVASCRIPT, include_bytes!("../../web/plain/widget-style.js")),
    Asset::new("/widgets.js", JAVASCRIPT, include_bytes!("../../web/plain/widgets.js")),
    Asset::new("/style.css", CSS, include_bytes!("../../web/plain/style.css")),
    Asset::new("/widgets.css", CSS, include_bytes!("../../web/plain/widgets.css")),
    Asset::new("/favicon.svg", SVG, include_bytes!("../../web/plain/favicon.svg")),
];

impl Asset {
    const fn new(path: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        Self { path, content_type, bytes }
    }

    pub fn answer(&self, headers: &HeaderMap) -> Response {
        answer(headers, self.content_type, Bytes::from_static(self.bytes))
    }
}

/// `GET /`
pub async fn index(State(server): State<Server>, headers: HeaderMap) -> Response {
    let config = server.app.generation().config.clone();
    let page = page(config.server.chatkit_paths.first().map_or("/chatkit", String::as_str));
    let mut response = answer(&headers, "text/html; charset=utf-8", page.into());
    let sent = response.headers_mut();
    sent.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    sent.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    sent.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    sent.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if let Some(cookie) = auth::greet(&server, &headers).await {
        sent.insert(SET_COOKIE, cookie);
    }
    response
}

/// The path stays relative, so that a proxy may serve it all below a path of its own.
fn page(endpoint: &str) -> String {
    let mut escaped = String::new();
    for character in endpoint.trim_start_matches('/').chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '<' => escaped.push_str("&lt;"),
            _ => escaped.push(character),
        }
    }
    PAGE.replacen(ENDPOINT, &ENDPOINT.replace("=\"chatkit\"", &format!("=\"{escaped}\"")), 1)
}

/// The bytes, unless the client has the same already.
fn answer(headers: &HeaderMap, content_type: &'static str, bytes: Bytes) -> Response {
    let etag = etag(&bytes);
    let mut response = Response::new(Body::empty());
    if knows(headers, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::from(bytes);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let sent = response.headers_mut();
    sent.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    sent.insert(ETAG, HeaderValue::try_from(etag).expect("hexadecimal in quotes can be sent"));
    sent.insert(
        const { HeaderName::from_static("cross-origin-resource-policy") },
        HeaderValue::from_static("same-origin"),
    );
    response
}

fn etag(bytes: &[u8]) -> String {
    let mut etag = "\"".to_owned();
    for byte in &Sha256::digest(bytes)[..12] {
        write!(etag, "{byte:02x}").expect("writing to a string cannot fail");
    }
    etag.push('"');
    etag
}

fn knows(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .map(str::trim)
        .any(|it| it == "*" || it.strip_prefix("W/").unwrap_or(it) == etag)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn the_page_talks_to_the_first_of_the_chatkit_paths() {
        assert!(page("/chatkit").contains(ENDPOINT));
        assert!(page("/a/\"b").contains(r#"<meta name="chatkit-endpoint" content="a/&quot;b">"#));
    }

    #[test]
    fn all_that_the_page_loads_is_built_in() {
        let scripts = ASSETS.iter().filter(|it| it.content_type == JAVASCRIPT);
        let mut names: Vec<_> = scripts
            .flat_map(|it| std::str::from_utf8(it.bytes).unwrap().split("from \"./").skip(1))
            .collect();
        assert!(!names.is_empty());
        for attribute in [" href=\"", " src=\""] {
            names.extend(PAGE.split(attribute).skip(1).filter(|it| !it.starts_with('#')));
        }
        for name in names {
            let path = format!("/{}", name.split('"').next().unwrap());
            assert!(ASSETS.iter().any(|it| it.path == path), "{path}");
        }
    }

    #[tokio::test]
    async fn what_the_browser_has_is_not_sent_again() {
        let first = ASSETS[0].answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[CONTENT_TYPE], JAVASCRIPT);
        let etag = first.headers()[ETAG].clone();
        let weak = format!("\"other\", W/{}", etag.to_str().unwrap());
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::try_from(weak).unwrap())]);
        let second = ASSETS[0].answer(&headers);
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(second.headers()[ETAG], etag);
        assert!(second.into_body().collect().await.unwrap().to_bytes().is_empty());
        let headers =
            HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("\"other\""))]);
        assert_eq!(ASSETS[0].answer(&headers).status(), StatusCode::OK);
    }
}
