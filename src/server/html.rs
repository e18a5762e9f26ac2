//! Small pages of our own: text for people, without scripts.

use std::fmt::Write;

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
        },
    },
    response::Response,
};

/// A page is left by its own forms and links only, and shown in no frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#222}\
                     h1{font-size:1.4rem}section{border-top:1px solid #ccc;padding:1rem 0}\
                     input{font:inherit;padding:.4rem;width:60%}button,a.button{font:inherit;padding:.4rem .8rem}\
                     .state{color:#666}.problem{color:#a00}\
                     @media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}a{color:#8bf}}";

/// Nobody keeps it. `body` is HTML: what came from elsewhere is escaped.
pub fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let title = escape(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Its own address may hold a code. With `no-referrer` browsers would post its forms from the origin `null`.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// A text as it may stand in HTML, also in quotes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' | '>' | '&' | '"' | '\'' => {
                write!(escaped, "&#{};", u32::from(character)).expect("a string takes all");
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_comes_from_elsewhere_is_text() {
        assert_eq!(escape("<a href='x'>&\""), "&#60;a href=&#39;x&#39;&#62;&#38;&#34;");
    }
}
