use url::{Host, Url};

/// A host as it is compared: lower case, IDNA, without a dot at the end.
pub fn parse_host(text: &str) -> Option<Host> {
    if text.contains('*') {
        return None;
    }
    without_dot(Host::parse(text).ok()?)
}

/// None: nothing but dots would be left, or more than one stands at the end.
pub fn without_dot(host: Host) -> Option<Host> {
    let Host::Domain(domain) = host else {
        return Some(host);
    };
    let domain = domain.strip_suffix('.').unwrap_or(&domain);
    if domain.is_empty() || domain.ends_with('.') {
        return None;
    }
    Some(Host::Domain(domain.to_owned()))
}

/// Whether the URL itself names something on this machine or in its network.
pub fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_private(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unique_local(),
        None => false,
    }
}

/// Splits `host:port`; the colons of an address in brackets are its own. None: the port is none.
pub fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let colon = text.rfind(':').filter(|colon| text.rfind(']').is_none_or(|it| it < *colon));
    let Some(colon) = colon else {
        return Some((text, None));
    };
    let (host, port) = (&text[..colon], &text[colon + 1..]);
    if !port.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let port = port.parse().ok().filter(|it| *it != 0)?;
    Some((host, Some(port)))
}
