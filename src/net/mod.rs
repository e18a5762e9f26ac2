//! Which machines may be reached: what is checked before anything is fetched or connected to.

mod address;
mod clients;
mod error;
mod host;
mod resolver;

pub use self::{
    address::{AddressRules, Networks},
    clients::{Clients, client},
    error::{find_source, tls_error},
    host::{is_near, parse_host, split_port, without_dot},
    resolver::{Resolver, Unreachable},
};
