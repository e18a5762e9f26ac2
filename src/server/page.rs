//! The page at `/`.

use axum::{
    extract::State,
    http::{
        HeaderMap, HeaderValue,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, SET_COOKIE, X_FRAME_OPTIONS,
        },
    },
    response::Response,
};

use crate::config::{PageConfig, PageElement};

use super::{
    Server,
    assets::{self, Asset},
    auth,
    html::escape,
};

/// Where the page talks to; replaced by the first of `chatkit_paths`.
const ENDPOINT: &str = r#"<meta name="chatkit-endpoint" content="chatkit">"#;

/// Which element the page shows; replaced by what `[page]` says.
const ELEMENT: &str = r#"<meta name="kitfox-element" content="builtin">"#;

/// Where the vendor has its element.
const VENDOR: &str = "https://cdn.platform.openai.com";

/// `GET /`
pub async fn index(State(server): State<Server>, headers: HeaderMap) -> Response {
    let config = server.app.generation().config.clone();
    let endpoint = config.server.chatkit_paths.first().map_or("/chatkit", String::as_str);
    let index = assets::all().iter().find(|it| it.path == "/index.html");
    let template = index.map_or("", |it| std::str::from_utf8(it.bytes).unwrap_or_default());
    let page = page(template, endpoint, &config.page, assets::all());
    let etag = format!("\"{}\"", assets::hash(page.as_bytes()));
    let mut response = assets::answer(&headers, "text/html; charset=utf-8", &etag, page.into());
    let sent = response.headers_mut();
    sent.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    sent.insert(CONTENT_SECURITY_POLICY, policy(config.page.element));
    sent.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    sent.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if let Some(cookie) = auth::greet(&server, &headers).await {
        sent.insert(SET_COOKIE, cookie);
    }
    response
}

/// Paths stay relative, so that a proxy may serve it all below a path of its own. What it loads is named with
/// its hash, and so never looked up twice.
fn page(template: &str, endpoint: &str, config: &PageConfig, assets: &[Asset]) -> String {
    let endpoint = escape(endpoint.trim_start_matches('/'));
    let element = match config.element {
        PageElement::Builtin => "builtin",
        PageElement::Official => "official",
        PageElement::Auto => "auto",
    };
    let key = config.domain_key.as_deref().map_or_else(String::new, |key| {
        format!(r#"<meta name="chatkit-domain-key" content="{}">"#, escape(key))
    });
    let mut page = template
        .replacen(ENDPOINT, &ENDPOINT.replace("\"chatkit\"", &format!("\"{endpoint}\"")), 1)
        .replacen(ELEMENT, &format!("{}{key}", ELEMENT.replace("builtin", element)), 1);
    for asset in assets {
        let name = asset.path.trim_start_matches('/');
        for attribute in ["src", "href"] {
            page = page.replace(
                &format!(r#" {attribute}="{name}""#),
                &format!(r#" {attribute}="{name}?v={}""#, asset.hash),
            );
        }
    }
    page
}

/// What the page may load. Which hosts an image may come from is a matter of each thread, and the page keeps to it.
fn policy(element: PageElement) -> HeaderValue {
    let vendor = match element {
        PageElement::Builtin => String::new(),
        PageElement::Official | PageElement::Auto => {
            format!(" script-src 'self' {VENDOR}; frame-src {VENDOR};")
        }
    };
    HeaderValue::try_from(format!(
        "default-src 'self'; img-src 'self' data: blob: https:; connect-src 'self';{vendor} object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ))
    .expect("it is plain text")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = r#"<meta name="chatkit-endpoint" content="chatkit"><meta name="kitfox-element" content="builtin"><script src="page.js">"#;

    fn built(config: &PageConfig) -> String {
        page(TEMPLATE, "/a/\"b", config, &[])
    }

    #[test]
    fn the_page_talks_to_the_first_of_the_chatkit_paths() {
        let page = built(&PageConfig::default());
        assert!(page.contains(r#"<meta name="chatkit-endpoint" content="a/&#34;b">"#), "{page}");
        for asset in assets::all().iter().filter(|it| it.path == "/index.html") {
            let template = std::str::from_utf8(asset.bytes).unwrap();
            assert!(template.contains(ENDPOINT), "{template}");
        }
    }

    #[test]
    fn the_page_shows_the_element_that_the_operator_wants() {
        let config =
            PageConfig { element: PageElement::Auto, domain_key: Some("key<1>".to_owned()) };
        let page = built(&config);
        let wanted = r#"<meta name="kitfox-element" content="auto"><meta name="chatkit-domain-key" content="key&#60;1&#62;">"#;
        assert!(page.contains(wanted), "{page}");
        assert!(
            policy(PageElement::Auto).to_str().unwrap().contains("script-src 'self' https://cdn")
        );
        assert!(!policy(PageElement::Builtin).to_str().unwrap().contains("https://cdn"));
    }

    #[test]
    fn what_the_page_loads_is_named_with_its_hash() {
        let page = page(
            r#"<script src="app.js"></script><a href="app.js.html">"#,
            "/chatkit",
            &PageConfig::default(),
            assets::all(),
        );
        for asset in assets::all().iter().filter(|it| it.path == "/app.js") {
            assert!(page.contains(&format!(r#"src="app.js?v={}""#, asset.hash)), "{page}");
        }
        assert!(page.contains(r#"href="app.js.html""#), "{page}");
    }
}
