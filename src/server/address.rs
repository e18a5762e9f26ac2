//! Where requests come from: the other end of the connection, or what proxies say of it that the operator trusts.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, request};

use crate::net::Networks;

use super::auth::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

tokio::task_local! {
    static ADDRESS: Option<IpAddr>;
}

/// Serves a request that comes from there.
pub async fn serve<F: Future>(address: Option<IpAddr>, request: F) -> F::Output {
    ADDRESS.scope(address, request).await
}

/// Where the request comes from that is being served here.
pub fn current() -> Option<IpAddr> {
    ADDRESS.try_with(|it| *it).ok().flatten()
}

/// Where a request comes from.
pub fn find(request: &request::Parts, proxies: Option<&Networks>) -> Option<IpAddr> {
    let Peer(peer) = request.extensions.get::<Peer>()?;
    Some(behind(*peer, &request.headers, proxies))
}

/// Each proxy adds whom it was asked by at the end: the last one that is no proxy of ours is the client. What stands
/// before that anybody may have written.
fn behind(peer: IpAddr, headers: &HeaderMap, proxies: Option<&Networks>) -> IpAddr {
    let mut address = peer.to_canonical();
    let Some(proxies) = proxies else { return address };
    let values: Vec<_> =
        headers.get_all(X_FORWARDED_FOR).iter().filter_map(|it| it.to_str().ok()).collect();
    for entry in values.iter().rev().flat_map(|it| it.rsplit(',')) {
        if !proxies.contains(address) {
            break;
        }
        let Some(next) = parse(entry.trim()) else { break };
        address = next;
    }
    address
}

/// Some proxies add the port.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok();
    let address = address.or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()));
    address.map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&'static str], expected: &str) {
        let proxies = Networks::parse(&["10.0.0.0/8".to_owned()]).unwrap();
        let headers = forwarded.iter().map(|it| (X_FORWARDED_FOR, HeaderValue::from_static(it)));
        let address = behind(peer.parse().unwrap(), &headers.collect(), Some(&proxies));
        assert_eq!(address.to_string(), expected);
    }

    #[test]
    fn a_request_comes_from_the_last_address_that_is_no_proxy_of_ours() {
        check("10.0.0.1", &["192.0.2.7"], "192.0.2.7");
        check("10.0.0.1", &["203.0.113.9, 192.0.2.7, 10.0.0.2"], "192.0.2.7");
        check("10.0.0.1", &["203.0.113.9", "192.0.2.7"], "192.0.2.7");
        check("10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7");
        check("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7");
        check("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2");
    }

    #[test]
    fn what_strangers_say_of_themselves_does_not_count() {
        check("192.0.2.7", &["203.0.113.9"], "192.0.2.7");
        check("10.0.0.1", &["192.0.2.7, nonsense"], "10.0.0.1");
        check("10.0.0.1", &[], "10.0.0.1");
        let headers = [(X_FORWARDED_FOR, HeaderValue::from_static("203.0.113.9"))];
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(behind(peer, &headers.into_iter().collect(), None), peer);
    }
}
