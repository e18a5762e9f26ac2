//! What browsers load, as it was built in: the chat element and its page where web/ was built, else the plain page.

use std::{fmt::Write as _, sync::LazyLock};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING,
            CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
        },
    },
    response::Response,
};
use bytes::Bytes;
use sha2::{Digest, Sha256};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Of what was built, all but the page itself: the element and what it loads are for pages of any site, and hold nothing that
/// is not the same for everybody.
const OUR_PAGE: &[&str] = &["/index.html", "/page.js"];

/// What build.rs made of web/: path, bytes, the same by gzip and by Brotli. Empty where it made nothing.
type Built = (&'static str, &'static [u8], &'static [u8], &'static [u8]);
static BUILT: &[Built] = &include!(concat!(env!("OUT_DIR"), "/web.rs"));

static PLAIN: &[(&str, &[u8])] = &[
    ("/api.js", include_bytes!("../../web/plain/api.js")),
    ("/app.js", include_bytes!("../../web/plain/app.js")),
    ("/asks.js", include_bytes!("../../web/plain/asks.js")),
    ("/conversation.js", include_bytes!("../../web/plain/conversation.js")),
    ("/dom.js", include_bytes!("../../web/plain/dom.js")),
    ("/favicon.svg", include_bytes!("../../web/plain/favicon.svg")),
    ("/forms.js", include_bytes!("../../web/plain/forms.js")),
    ("/icons.js", include_bytes!("../../web/plain/icons.js")),
    ("/index.html", include_bytes!("../../web/plain/index.html")),
    ("/inspector.js", include_bytes!("../../web/plain/inspector.js")),
    ("/items.js", include_bytes!("../../web/plain/items.js")),
    ("/links.js", include_bytes!("../../web/plain/links.js")),
    ("/markdown-view.js", include_bytes!("../../web/plain/markdown-view.js")),
    ("/markdown.js", include_bytes!("../../web/plain/markdown.js")),
    ("/sse.js", include_bytes!("../../web/plain/sse.js")),
    ("/style.css", include_bytes!("../../web/plain/style.css")),
    ("/tasks.js", include_bytes!("../../web/plain/tasks.js")),
    ("/threads.js", include_bytes!("../../web/plain/threads.js")),
    ("/updates.js", include_bytes!("../../web/plain/updates.js")),
    ("/uploads.js", include_bytes!("../../web/plain/uploads.js")),
    ("/widget-parts.js", include_bytes!("../../web/plain/widget-parts.js")),
    ("/widget-style.js", include_bytes!("../../web/plain/widget-style.js")),
    ("/widgets.css", include_bytes!("../../web/plain/widgets.css")),
    ("/widgets.js", include_bytes!("../../web/plain/widgets.js")),
];

/// A file that browsers load.
pub struct Asset {
    pub path: &'static str,
    pub bytes: &'static [u8],
    pub content_type: &'static str,
    /// Of the bytes as they are, without quotes.
    pub hash: String,
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

/// How a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Brotli,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    if BUILT.is_empty() {
        return PLAIN.iter().map(|(path, bytes)| Asset::new(path, bytes, None)).collect();
    }
    let built = BUILT.iter();
    built.map(|(path, bytes, gzip, brotli)| Asset::new(path, bytes, Some((gzip, brotli)))).collect()
});

/// All of them, the page itself as `/index.html`.
pub fn all() -> &'static [Asset] {
    &ASSETS
}

/// Whether pages of other sites may load what is at this path.
pub fn is_for_everyone(path: &str) -> bool {
    ASSETS.iter().any(|it| it.path == path && it.is_for_everyone())
}

impl Asset {
    fn new(
        path: &'static str,
        bytes: &'static [u8],
        compressed: Option<(&'static [u8], &'static [u8])>,
    ) -> Self {
        let content_type = match path.rsplit_once('.').map(|(_, it)| it) {
            Some("js") => JAVASCRIPT,
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("html") => "text/html; charset=utf-8",
            Some("json") => "application/json",
            Some("woff2") => "font/woff2",
            Some("txt") => "text/plain; charset=utf-8",
            Some(_) | None => "application/octet-stream",
        };
        let (gzip, brotli) = compressed.unzip();
        Self { path, bytes, content_type, hash: hash(bytes), gzip, brotli }
    }

    /// The bytes, unless the client has the same already. An address with `v={hash}` never changes what it means.
    pub fn answer(&self, headers: &HeaderMap, query: Option<&str>) -> Response {
        let (encoding, bytes) = self.choose(headers);
        let mut response =
            answer(headers, self.content_type, &self.etag(encoding), Bytes::from_static(bytes));
        let sent = response.headers_mut();
        if let Some(name) = encoding.name().filter(|_| sent.contains_key(CONTENT_TYPE)) {
            sent.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        if self.gzip.is_some() {
            sent.insert(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
        }
        let mut parameters = query.unwrap_or_default().split('&');
        if parameters.any(|it| it.strip_prefix("v=").is_some_and(|it| it == self.hash)) {
            let forever = "public, max-age=31536000, immutable";
            sent.insert(CACHE_CONTROL, HeaderValue::from_static(forever));
        }
        if self.is_for_everyone() {
            sent.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            sent.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
        }
        response
    }

    fn is_for_everyone(&self) -> bool {
        self.gzip.is_some() && !OUR_PAGE.contains(&self.path)
    }

    fn choose(&self, headers: &HeaderMap) -> (Encoding, &'static [u8]) {
        let brotli = self.brotli.filter(|_| accepts(headers, "br"));
        let gzip = self.gzip.filter(|_| accepts(headers, "gzip"));
        match (brotli, gzip) {
            (Some(bytes), _) => (Encoding::Brotli, bytes),
            (None, Some(bytes)) => (Encoding::Gzip, bytes),
            (None, None) => (Encoding::Identity, self.bytes),
        }
    }

    /// Differs by encoding: caches may hold several.
    fn etag(&self, encoding: Encoding) -> String {
        match encoding.name() {
            Some(name) => format!("\"{}-{name}\"", self.hash),
            None => format!("\"{}\"", self.hash),
        }
    }
}

impl Encoding {
    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

/// The bytes, unless the client has the same already.
pub fn answer(
    headers: &HeaderMap,
    content_type: &'static str,
    etag: &str,
    bytes: Bytes,
) -> Response {
    let mut response = Response::new(Body::empty());
    if knows(headers, etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::from(bytes);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let sent = response.headers_mut();
    sent.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    sent.insert(ETAG, HeaderValue::try_from(etag).expect("hexadecimal in quotes can be sent"));
    sent.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// What tells content from other content.
pub fn hash(bytes: &[u8]) -> String {
    let mut hash = String::new();
    for byte in &Sha256::digest(bytes)[..12] {
        write!(hash, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hash
}

fn knows(headers: &HeaderMap, etag: &str) -> bool {
    list(headers, &IF_NONE_MATCH).any(|it| it == "*" || it.strip_prefix("W/").unwrap_or(it) == etag)
}

/// Whether the client takes this encoding: it names it, and does not refuse it (`;q=0`).
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    list(headers, &ACCEPT_ENCODING).any(|it| {
        let (name, quality) = it.split_once(';').unwrap_or((it, ""));
        let quality = quality.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case(encoding) && quality.is_ok_and(|it| it > 0.0)
    })
}

/// The values of a header between its commas.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|it| it.to_str().ok());
    values.flat_map(|it| it.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http_body_util::BodyExt;

    use super::*;

    fn asset() -> Asset {
        Asset::new("/kitfox-chat.js", b"let a", Some((b"by gzip", b"by brotli")))
    }

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::try_from(value).unwrap())])
    }

    #[test]
    fn all_that_the_plain_page_loads_is_built_in() {
        let text = |bytes: &'static [u8]| std::str::from_utf8(bytes).unwrap();
        let scripts = PLAIN
            .iter()
            .filter(|(path, _)| Path::new(path).extension().is_some_and(|it| it == "js"));
        let mut names: Vec<_> =
            scripts.flat_map(|(_, it)| text(it).split("from \"./").skip(1)).collect();
        assert!(!names.is_empty());
        let (_, page) = PLAIN.iter().find(|(path, _)| *path == "/index.html").unwrap();
        for attribute in [" href=\"", " src=\""] {
            names.extend(text(page).split(attribute).skip(1).filter(|it| !it.starts_with('#')));
        }
        for name in names {
            let path = format!("/{}", name.split('"').next().unwrap());
            assert!(PLAIN.iter().any(|(it, _)| *it == path), "{path}");
        }
    }

    #[tokio::test]
    async fn what_the_browser_has_is_not_sent_again() {
        let asset = asset();
        let first = asset.answer(&HeaderMap::new(), None);
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[CONTENT_TYPE], JAVASCRIPT);
        let etag = first.headers()[ETAG].clone();
        let weak = format!("\"other\", W/{}", etag.to_str().unwrap());
        let second = asset.answer(&headers(IF_NONE_MATCH, &weak), None);
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(second.headers()[ETAG], etag);
        assert!(second.into_body().collect().await.unwrap().to_bytes().is_empty());
        let other = asset.answer(&headers(IF_NONE_MATCH, "\"other\""), None);
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn what_the_browser_can_unpack_is_sent_packed() {
        for (accepted, encoding, body) in [
            ("gzip, deflate, br", Some("br"), "by brotli"),
            ("GZIP", Some("gzip"), "by gzip"),
            ("br;q=0, gzip;q=0.5", Some("gzip"), "by gzip"),
            ("identity", None, "let a"),
            ("br;q=x", None, "let a"),
        ] {
            let response = asset().answer(&headers(ACCEPT_ENCODING, accepted), None);
            let named = response.headers().get(CONTENT_ENCODING).map(|it| it.to_str().unwrap());
            assert_eq!(named, encoding, "{accepted}");
            assert_eq!(response.headers()[VARY], "accept-encoding");
            let etag = response.headers()[ETAG].clone();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
            let known = HeaderMap::from_iter([
                (ACCEPT_ENCODING, HeaderValue::try_from(accepted).unwrap()),
                (IF_NONE_MATCH, etag),
            ]);
            let again = asset().answer(&known, None);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert!(!again.headers().contains_key(CONTENT_ENCODING));
        }
    }

    #[test]
    fn an_address_with_the_hash_is_kept_for_ever() {
        let asset = asset();
        let kept = |query: &str| {
            asset.answer(&HeaderMap::new(), Some(query)).headers()[CACHE_CONTROL].clone()
        };
        let right = format!("as=openai-chatkit&v={}", asset.hash);
        assert_eq!(kept(&right), "public, max-age=31536000, immutable");
        assert_eq!(kept("v=1"), "no-cache");
    }

    #[test]
    fn other_sites_may_load_the_element_and_nothing_else() {
        let element = asset().answer(&HeaderMap::new(), None);
        assert_eq!(element.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(element.headers()[RESOURCE_POLICY], "cross-origin");
        let page = Asset::new("/page.js", b"", Some((b"", b"")));
        let plain = Asset::new("/app.js", b"", None);
        for other in [page, plain] {
            let other = other.answer(&HeaderMap::new(), None);
            assert!(!other.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
            assert_eq!(other.headers()[RESOURCE_POLICY], "same-origin");
        }
    }
}
