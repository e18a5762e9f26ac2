use std::net::IpAddr;

use crate::{
    config::{Limits, Measure},
    user::{User, UserKey, digest},
};

/// Whose limits count for something.
#[derive(Debug, Clone, Copy)]
pub struct Payer<'a> {
    pub user: Option<&'a UserKey>,
    pub org: Option<&'a str>,
    /// Where the request comes from, if it comes from anywhere.
    pub address: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    User,
    Org,
    Address,
}

impl Scope {
    /// As in kitfox.toml.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Org => "org",
            Self::Address => "address",
        }
    }
}

impl<'a> Payer<'a> {
    pub fn of(user: Option<&'a User>, address: Option<IpAddr>) -> Self {
        let org = user.and_then(|it| it.org.as_deref());
        Self { user: user.map(|it| &it.key), org, address }
    }

    /// Nobody is known: only where the request comes from.
    pub const fn of_address(address: Option<IpAddr>) -> Self {
        Self { user: None, org: None, address }
    }

    /// Somebody, wherever they are.
    pub fn of_user(user: &'a User) -> Self {
        Self::of(Some(user), None)
    }

    /// The limits on this measure, each with whose it is: the store learns neither names nor addresses.
    pub fn limited_by(&self, limits: &Limits, measure: Measure) -> Vec<(Scope, String, u64)> {
        let mut all = Vec::new();
        if let (Some(user), Some(limit)) = (self.user, limits.user.of(measure)) {
            all.push((Scope::User, user.pseudonym(), limit));
        }
        if let (Some(org), Some(limit)) = (self.org, limits.org.of(measure)) {
            all.push((Scope::Org, digest("org", org), limit));
        }
        if let (Some(address), Some(limit)) = (self.address, limits.address.of(measure)) {
            all.push((Scope::Address, digest("address", &network(address).to_string()), limit));
        }
        all
    }
}

/// Of version 6 everybody has a network of their own.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_of_version_6_are_one() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
