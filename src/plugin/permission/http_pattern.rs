use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use url::{Host, Url};

use crate::net::{parse_host, split_port, without_dot};

/// An entry of the permission `http`: `api.example.com`, `*.example.org`, `http://localhost:9000`. It means https
/// on 443 unless it names scheme or port; `*.` are the hosts below, `*` is every host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPattern {
    scheme: Scheme,
    host: HostPattern,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// The domains below this one.
    Below(String),
    Exact(Host),
}

impl HttpPattern {
    /// The entry for exactly the origin of `url`. None: it is nothing that can be fetched.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let host = HostPattern::Exact(without_dot(url.host()?.to_owned())?);
        Some(Self { scheme, host, port: url.port_or_known_default()? })
    }

    /// Whether it allows all that `other` allows.
    pub fn covers(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.port == other.port && self.host.covers(&other.host)
    }
}

impl FromStr for HttpPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Https, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, _)) => {
                return Err(format!(
                    "`{text}` names the scheme `{scheme}`: only https and http can be fetched"
                ));
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(format!("`{text}` holds a user's name: write the host alone"));
        }
        if rest.contains(['/', '?', '#', '\\']) {
            return Err(format!(
                "`{text}` names a path: hosts are permitted as a whole, write the host alone"
            ));
        }
        let (host, port) = split_port(rest).ok_or_else(|| {
            format!("`{text}` has no valid port: write `host:port` with a port from 1 to 65535")
        })?;
        let host = HostPattern::parse(host).ok_or_else(|| {
            format!(
                "`{text}` is no host: write a name as `api.example.com`, `*.example.com` for the names \
                 below it, or an address, with `http://` or `:port` where they differ from https and 443"
            )
        })?;
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.default_port()) })
    }
}

impl fmt::Display for HttpPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::Http {
            f.write_str("http://")?;
        }
        match &self.host {
            HostPattern::Any => f.write_str("*")?,
            HostPattern::Below(domain) => write!(f, "*.{domain}")?,
            HostPattern::Exact(host) => write!(f, "{host}")?,
        }
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl Serialize for HttpPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Scheme {
    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl HostPattern {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let Some(domain) = text.strip_prefix("*.") else {
            return parse_host(text).map(Self::Exact);
        };
        match parse_host(domain)? {
            Host::Domain(domain) => Some(Self::Below(domain)),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Below(domain), Self::Below(other)) => domain == other || is_below(other, domain),
            (Self::Below(domain), Self::Exact(Host::Domain(other))) => is_below(other, domain),
            (Self::Exact(host), Self::Exact(other)) => host == other,
            (Self::Below(_) | Self::Exact(_), _) => false,
        }
    }
}

fn is_below(domain: &str, parent: &str) -> bool {
    domain.strip_suffix(parent).is_some_and(|it| it.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, allowed: &[&str], denied: &[&str]) {
        let pattern: HttpPattern = pattern.parse().unwrap();
        let allows = |url: &str| {
            HttpPattern::of(&Url::parse(url).unwrap()).is_some_and(|it| pattern.covers(&it))
        };
        for url in allowed {
            assert!(allows(url), "{pattern} must allow {url}");
        }
        for url in denied {
            assert!(!allows(url), "{pattern} must not allow {url}");
        }
    }

    fn error(pattern: &str) -> String {
        pattern.parse::<HttpPattern>().unwrap_err()
    }

    #[test]
    fn a_host_means_https_on_443() {
        check(
            "example.org",
            &["https://example.org/a?b", "https://example.org:443", "https://EXAMPLE.org."],
            &[
                "http://example.org",
                "https://example.org:8443",
                "http://example.org:443",
                "https://a.example.org",
                "https://example.org.evil.test",
                "https://notexample.org",
                "https://example.org@evil.test",
                "ftp://example.org",
                "wss://example.org",
                "data:text/plain,example.org",
                "file://example.org/etc/passwd",
            ],
        );
    }

    #[test]
    fn scheme_and_port_are_those_that_are_named() {
        check("http://localhost:9000", &["http://localhost:9000"], &["https://localhost:9000"]);
        check("http://example.org", &["http://example.org:80"], &["https://example.org"]);
        check("example.org:8443", &["https://example.org:8443"], &["https://example.org"]);
        check("HTTPS://Example.org/", &["https://example.org"], &["http://example.org"]);
    }

    #[test]
    fn a_star_stands_for_the_hosts_below() {
        check(
            "*.example.org",
            &["https://a.example.org", "https://a.b.example.org.", "https://A.Example.ORG"],
            &[
                "https://example.org",
                "https://notexample.org",
                "https://a.example.org.evil.test",
                "http://a.example.org",
            ],
        );
        check("*", &["https://example.org", "https://192.0.2.1"], &["http://example.org"]);
    }

    #[test]
    fn names_are_compared_as_dns_knows_them() {
        check("bücher.example", &["https://xn--bcher-kva.example", "https://BÜCHER.example"], &[]);
        check("xn--bcher-kva.example.", &["https://bücher.example"], &[]);
        check("*.bücher.example", &["https://a.xn--bcher-kva.example"], &[]);
        check("example.org", &["https://example。org"], &[]);
    }

    #[test]
    fn odd_spellings_of_an_address_are_the_address() {
        let spellings = ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1."];
        for spelling in spellings {
            check(
                "http://127.0.0.1",
                &[&format!("http://{spelling}")],
                &[&format!("https://{spelling}")],
            );
        }
        check("[::1]:8443", &["https://[0:0:0:0:0:0:0:1]:8443"], &["https://[::1]"]);
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_reason() {
        assert_snapshot!(error("ftp://example.org"), @"`ftp://example.org` names the scheme `ftp`: only https and http can be fetched");
        assert_snapshot!(error("https://me@example.org"), @"`https://me@example.org` holds a user's name: write the host alone");
        assert_snapshot!(error("example.org/v1"), @"`example.org/v1` names a path: hosts are permitted as a whole, write the host alone");
        assert_snapshot!(error("example.org:0"), @"`example.org:0` has no valid port: write `host:port` with a port from 1 to 65535");
        assert_snapshot!(error("example.*"), @"`example.*` is no host: write a name as `api.example.com`, `*.example.com` for the names below it, or an address, with `http://` or `:port` where they differ from https and 443");
        for pattern in [
            "",
            "*.",
            ".",
            "a..",
            "*.*",
            "a b",
            "http://",
            "https://:80",
            "*.127.0.0.1",
            "::1",
            "example.org:",
            "example.org:+1",
            "example.org:65536",
            "*example.org",
            "1.2.3.4.5",
        ] {
            assert!(pattern.parse::<HttpPattern>().is_err(), "{pattern}");
        }
    }

    #[test]
    fn an_entry_is_shown_as_it_is_written() {
        for entry in ["example.org", "*.example.org", "*", "http://localhost:9000", "[::1]:8443"] {
            assert_eq!(entry.parse::<HttpPattern>().unwrap().to_string(), entry);
        }
    }
}
