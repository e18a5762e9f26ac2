use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::net::AddressRules;

/// Gives only addresses that may be reached, so that what was checked is what is connected to.
pub struct Resolver {
    pub rules: Arc<AddressRules>,
    /// The port that will be connected to, where a rule names it: a resolver learns none.
    pub port: Option<u16>,
}

/// A name has no address that may be reached.
#[derive(Debug, thiserror::Error)]
#[error("no address that may be reached")]
pub struct Unreachable;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, port) = (self.rules.clone(), self.port);
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let is_found = !found.is_empty();
            let mut admitted = found;
            admitted.retain(|it| rules.admit(name.as_str(), it.ip(), port));
            if admitted.is_empty() && is_found {
                return Err(Unreachable.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}
