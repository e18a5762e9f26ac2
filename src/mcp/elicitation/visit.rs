use std::net::IpAddr;

use serde_json::Value;
use url::{Host, Url};

use super::Refusal;
use crate::tool::Visit;

const MAX_URL: usize = 2048;

/// A page that a server has the user open. Nobody but the user opens it.
pub fn read(server: &str, message: String, url: &Value) -> Result<Visit, Refusal> {
    let Some(text) = url.as_str() else {
        return Err(Refusal::Unreadable("`url` is missing, or is no text".to_owned()));
    };
    if text.len() > MAX_URL {
        return Err(Refusal::Unreadable(format!("`url` has more than {MAX_URL} bytes")));
    }
    let url =
        Url::parse(text).map_err(|err| Refusal::Unreadable(format!("`url` is no URL: {err}")))?;
    let forbidden = |reason: &str| Err(Refusal::Forbidden(reason.to_owned()));
    let Some(host) = url.host() else {
        return forbidden("a page to open has an address that begins with `https://`");
    };
    match url.scheme() {
        "https" => (),
        "http" if is_loopback(&host) => (),
        _ => return forbidden("a page to open has an address that begins with `https://`"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return forbidden("a page to open has no user's name or password in its address");
    }
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_string(),
    };
    Ok(Visit { server: server.to_owned(), message, url: escape(url.as_str()), host })
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => IpAddr::V4(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(*address).is_loopback(),
    }
}

/// What would end a link of Markdown is written another way; to whoever opens it, it is the same.
fn escape(url: &str) -> String {
    let mut escaped = String::with_capacity(url.len());
    for character in url.chars() {
        match character {
            '(' => escaped.push_str("%28"),
            ')' => escaped.push_str("%29"),
            '<' => escaped.push_str("%3C"),
            '>' => escaped.push_str("%3E"),
            '\\' => escaped.push_str("%5C"),
            '`' => escaped.push_str("%60"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_pages_that_people_can_judge_are_shown() {
        let mut shown = Vec::new();
        for url in [
            json!("https://pay.example.com/a?b=(c)#d"),
            json!("https://p\u{430}y.example.com:8443/"),
            json!("http://127.0.0.1:8080/x"),
            json!("http://[::1]/x"),
            json!("http://pay.example.com/"),
            json!("javascript:alert(1)"),
            json!("data:text/html,hi"),
            json!("file:///etc/passwd"),
            json!("https://bank.example.com@evil.test/"),
            json!("/login"),
            json!(7),
            json!(format!("https://a.test/{}", "a".repeat(MAX_URL))),
        ] {
            shown.push(match read("notes", String::new(), &url) {
                Ok(visit) => format!("{} {}", visit.host, visit.url),
                Err(err) => err.to_string(),
            });
        }
        assert_snapshot!(shown.join("\n"), @r"
        pay.example.com https://pay.example.com/a?b=%28c%29#d
        xn--py-7kc.example.com:8443 https://xn--py-7kc.example.com:8443/
        127.0.0.1:8080 http://127.0.0.1:8080/x
        [::1] http://[::1]/x
        a page to open has an address that begins with `https://`
        a page to open has an address that begins with `https://`
        a page to open has an address that begins with `https://`
        a page to open has an address that begins with `https://`
        a page to open has no user's name or password in its address
        `url` is no URL: relative URL without a base
        `url` is missing, or is no text
        `url` has more than 2048 bytes
        ");
    }
}
