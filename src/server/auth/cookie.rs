//! Cookies that say who is asking: for this server alone, and out of reach of scripts.

use axum::http::{HeaderMap, HeaderValue, header::COOKIE};
use url::Url;

use crate::config::ServerConfig;

/// A cookie of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie<'a> {
    name: &'a str,
    is_secure: bool,
}

impl<'a> Cookie<'a> {
    /// Of a server that is reached without TLS on its own machine only.
    pub fn new(name: &'a str, config: &ServerConfig) -> Self {
        Self { name, is_secure: is_https(&config.public_url) }
    }

    /// Its value, as the browser sends it.
    pub fn find<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let name = self.full_name();
        let pairs = headers.get_all(COOKIE).iter().filter_map(|it| it.to_str().ok());
        let mut pairs = pairs.flat_map(|it| it.split(';')).map(str::trim);
        pairs.find_map(|it| it.strip_prefix(&name)?.strip_prefix('=')).filter(|it| !it.is_empty())
    }

    /// Gives it to the browser, for so long.
    pub fn set(&self, value: &str, seconds: u64) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let name = self.full_name();
        let cookie =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(cookie).expect("it is made of base64url and dots")
    }

    /// Takes it from the browser.
    pub fn clear(&self) -> HeaderValue {
        self.set("", 0)
    }

    /// With TLS it begins so that browsers take it from this very host only: no neighbour can plant one.
    fn full_name(&self) -> String {
        let prefix = if self.is_secure { "__Host-" } else { "" };
        format!("{prefix}{}", self.name)
    }
}

fn is_https(url: &Url) -> bool {
    url.scheme() == "https"
}
