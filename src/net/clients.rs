use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::{Client, ClientBuilder, redirect::Policy};
use url::Url;

use crate::net::{AddressRules, Resolver};

/// A client that connects only to addresses that the rules admit, and follows no redirect by itself. `port`: the one that
/// it is for, where a rule names it.
pub fn client(rules: &Arc<AddressRules>, port: Option<u16>) -> ClientBuilder {
    // It is refused when there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("kitfox/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Resolver { rules: rules.clone(), port })
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
}

/// The clients that keep to one set of rules.
pub struct Clients {
    rules: Arc<AddressRules>,
    configure: fn(ClientBuilder) -> ClientBuilder,
    /// One for each port that a rule names, and one for all others: a resolver learns no port, and connections are
    /// shared among those that passed the same check.
    by_port: Mutex<BTreeMap<Option<u16>, Client>>,
}

impl Clients {
    /// `configure` sets how long they wait.
    pub fn new(rules: AddressRules, configure: fn(ClientBuilder) -> ClientBuilder) -> Self {
        Self { rules: Arc::new(rules), configure, by_port: Mutex::default() }
    }

    /// See [`AddressRules::admit_url`], which is to be asked first.
    pub fn admit(&self, url: &Url) -> bool {
        self.rules.admit_url(url)
    }

    /// The client for this URL.
    pub fn get(&self, url: &Url) -> Result<Client, reqwest::Error> {
        let port = url.port_or_known_default().filter(|it| self.rules.name_port(*it));
        let mut clients = self.by_port.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&port) {
            return Ok(client.clone());
        }
        let client = (self.configure)(client(&self.rules, port)).build()?;
        clients.insert(port, client.clone());
        Ok(client)
    }
}
