use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::{
    load_error::LoadError,
    net::{parse_host, split_port},
};

/// Which addresses may be reached: the public ones, and those that the operator lists.
#[derive(Debug, Default)]
pub struct AddressRules(Vec<Allowed>);

#[derive(Debug)]
enum Allowed {
    /// Whatever this name resolves to, on this port.
    Name { domain: String, port: u16 },
    /// On this port, or on every.
    Network { network: Network, port: Option<u16> },
}

/// Networks that the operator lists, as `10.0.0.0/8` and `10.0.0.7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl AddressRules {
    /// The rules of all entries of this setting that are right, and what is wrong with the others.
    pub fn parse(setting: &str, entries: &[String]) -> (Self, Vec<LoadError>) {
        let (mut rules, mut errors) = (Self::default(), Vec::new());
        for entry in entries {
            let Some(allowed) = Allowed::parse(entry) else {
                let message = format!("`{entry}` in `{setting}` is no address");
                errors.push(LoadError::new("kitfox.toml", message).remedy(
                    "write `host:port`, an address as `10.0.0.7`, or a network as `10.0.0.0/8`",
                ));
                continue;
            };
            rules.0.push(allowed);
        }
        (rules, errors)
    }

    /// The same, and what is private or on this machine: not what is link-local, where clouds keep secrets.
    #[must_use]
    pub fn with_private(mut self) -> Self {
        let all = |network: &Network| Allowed::Network { network: *network, port: None };
        self.0.extend(PRIVATE.iter().map(all));
        self
    }

    /// Whether the address that the URL itself names may be connected to. Names are checked when they are resolved.
    pub fn admit_url(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return true,
        };
        self.admit(&address.to_string(), address, url.port_or_known_default())
    }

    /// Whether whoever names `host` may be connected to `address`. `port` None: to one that no
    /// rule names.
    pub fn admit(&self, host: &str, address: IpAddr, port: Option<u16>) -> bool {
        let address = address.to_canonical();
        let host = host.strip_suffix('.').unwrap_or(host);
        is_public(address)
            || self.0.iter().any(|allowed| match allowed {
                Allowed::Name { domain, port: own } => {
                    Some(*own) == port && domain.eq_ignore_ascii_case(host)
                }
                Allowed::Network { network, port: own } => {
                    (own.is_none() || *own == port) && network.contains(address)
                }
            })
    }

    /// Whether there is a rule for this port alone.
    pub fn name_port(&self, port: u16) -> bool {
        self.0.iter().any(|allowed| match allowed {
            Allowed::Name { port: own, .. } => *own == port,
            Allowed::Network { port: own, .. } => *own == Some(port),
        })
    }
}

impl Networks {
    /// Fails with the entry that is none.
    pub fn parse(entries: &[String]) -> Result<Self, &str> {
        let parse = |entry: &'_ String| match Allowed::parse(entry) {
            Some(Allowed::Network { network, port: None }) => Some(network),
            Some(Allowed::Network { .. } | Allowed::Name { .. }) | None => None,
        };
        let networks = entries.iter().map(|it| parse(it).ok_or(it.as_str()));
        networks.collect::<Result<_, _>>().map(Self)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|it| it.contains(address))
    }
}

impl Allowed {
    fn parse(entry: &str) -> Option<Self> {
        if let Some((address, prefix)) = entry.split_once('/') {
            let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
            let network = Network { address, prefix };
            return (prefix <= network.bits()).then_some(Self::Network { network, port: None });
        }
        if let Ok(address) = entry.parse() {
            return Some(Self::Network { network: Network::single(address), port: None });
        }
        let (host, port) = split_port(entry)?;
        let address = match (parse_host(host)?, port) {
            (Host::Domain(domain), Some(port)) => return Some(Self::Name { domain, port }),
            (Host::Domain(_), None) => return None,
            (Host::Ipv4(address), _) => IpAddr::V4(address),
            (Host::Ipv6(address), _) => IpAddr::V6(address),
        };
        Some(Self::Network { network: Network::single(address), port })
    }
}

impl Network {
    fn single(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let network = Self { address, prefix: 0 };
        Self { address, prefix: network.bits() }
    }

    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)), prefix }
    }

    const fn bits(&self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    fn contains(&self, address: IpAddr) -> bool {
        let shift = u32::from(self.bits() - self.prefix);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(shift).unwrap_or_default() == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(shift).unwrap_or_default() == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Special purposes, by <https://www.iana.org/assignments/iana-ipv4-special-registry>.
const NOT_PUBLIC_V4: &[Network] = &[
    Network::v4(0, 0, 0, 0, 8),       // this network, and unspecified
    Network::v4(10, 0, 0, 0, 8),      // private
    Network::v4(100, 64, 0, 0, 10),   // carrier-grade NAT
    Network::v4(127, 0, 0, 0, 8),     // loopback
    Network::v4(169, 254, 0, 0, 16),  // link-local, with the clouds' metadata
    Network::v4(172, 16, 0, 0, 12),   // private
    Network::v4(192, 0, 0, 0, 24),    // protocol assignments
    Network::v4(192, 0, 2, 0, 24),    // documentation
    Network::v4(192, 88, 99, 0, 24),  // 6to4 relays
    Network::v4(192, 168, 0, 0, 16),  // private
    Network::v4(198, 18, 0, 0, 15),   // benchmarks
    Network::v4(198, 51, 100, 0, 24), // documentation
    Network::v4(203, 0, 113, 0, 24),  // documentation
    Network::v4(224, 0, 0, 0, 4),     // multicast
    Network::v4(240, 0, 0, 0, 4),     // reserved, and broadcast
];

/// Networks that are somebody's own.
const PRIVATE: &[Network] = &[
    Network::v4(10, 0, 0, 0, 8),
    Network::v4(127, 0, 0, 0, 8),
    Network::v4(172, 16, 0, 0, 12),
    Network::v4(192, 168, 0, 0, 16),
    Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    Network::v6(0xfc00, 0, 0, 7),
];

/// All that is assigned for use on the internet.
const GLOBAL_V6: Network = Network::v6(0x2000, 0, 0, 3);

/// Special purposes in it, by <https://www.iana.org/assignments/iana-ipv6-special-registry>.
const NOT_PUBLIC_V6: &[Network] = &[
    Network::v6(0x2001, 0, 0, 23),     // protocol assignments, with Teredo
    Network::v6(0x2001, 0xdb8, 0, 32), // documentation
    Network::v6(0x3fff, 0, 0, 20),     // documentation
];

/// Addresses of version 6 that lead to one of version 4: that one decides.
const NAT64: Network = Network::v6(0x64, 0xff9b, 0, 96);
const SIX_TO_FOUR: Network = Network::v6(0x2002, 0, 0, 16);

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(_) => !NOT_PUBLIC_V4.iter().any(|it| it.contains(address.to_canonical())),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            if NAT64.contains(address) {
                return is_public(v4(&octets[12..16]));
            }
            if SIX_TO_FOUR.contains(address) {
                return is_public(v4(&octets[2..6]));
            }
            GLOBAL_V6.contains(address) && !NOT_PUBLIC_V6.iter().any(|it| it.contains(address))
        }
    }
}

fn v4(octets: &[u8]) -> IpAddr {
    let octets: [u8; 4] = octets.try_into().expect("callers cut out four octets");
    IpAddr::from(octets)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn rules(entries: &[&str]) -> AddressRules {
        let entries: Vec<_> = entries.iter().map(|it| (*it).to_owned()).collect();
        let (rules, errors) = AddressRules::parse("plugins.allow_addresses", &entries);
        assert_eq!(errors, []);
        rules
    }

    fn admit(rules: &AddressRules, host: &str, address: &str, port: Option<u16>) -> bool {
        rules.admit(host, address.parse().unwrap(), port)
    }

    #[test]
    fn only_public_addresses_can_be_reached() {
        let public = [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "192.167.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ];
        for address in public {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1.1.1.1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "100::1",
            "2001::1",
            "2001:0:1::",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
            "4000::1",
        ];
        for address in refused {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn the_operator_lists_what_else_can_be_reached() {
        let by_name = rules(&["Localhost:9000"]);
        assert!(admit(&by_name, "localhost", "127.0.0.1", Some(9000)));
        assert!(admit(&by_name, "LOCALHOST.", "::1", Some(9000)));
        assert!(!admit(&by_name, "localhost", "127.0.0.1", None));
        assert!(!admit(&by_name, "localhost", "127.0.0.1", Some(9001)));
        assert!(!admit(&by_name, "evil.test", "127.0.0.1", Some(9000)));

        let by_address = rules(&["127.0.0.1:9000", "10.0.0.7", "[::1]:81", "fd00::7"]);
        assert!(admit(&by_address, "any.test", "127.0.0.1", Some(9000)));
        assert!(admit(&by_address, "any.test", "::ffff:127.0.0.1", Some(9000)));
        assert!(!admit(&by_address, "any.test", "127.0.0.1", None));
        assert!(admit(&by_address, "any.test", "10.0.0.7", None));
        assert!(!admit(&by_address, "any.test", "10.0.0.8", None));
        assert!(admit(&by_address, "any.test", "::1", Some(81)));
        assert!(admit(&by_address, "any.test", "fd00::7", None));

        let by_network = rules(&["10.1.0.0/16", "fd00::/8"]);
        assert!(admit(&by_network, "any.test", "10.1.2.3", None));
        assert!(!admit(&by_network, "any.test", "10.2.0.1", None));
        assert!(admit(&by_network, "any.test", "fdff::1", Some(1)));
        assert!(!admit(&by_network, "any.test", "fe80::1", None));
        assert!(admit(&rules(&["0.0.0.0/0"]), "any.test", "127.0.0.1", None));
        assert!(!admit(&rules(&["0.0.0.0/0"]), "any.test", "::1", None));
    }

    #[test]
    fn an_entry_that_is_no_address_is_told_and_not_in_force() {
        let wrong = ["localhost", "10.0.0.0/33", "10.0.0/8", "a b:1", "*:80", "host:0", ""];
        let entries: Vec<_> = wrong.iter().map(|it| (*it).to_owned()).collect();
        let (rules, errors) = AddressRules::parse("plugins.allow_addresses", &entries);
        assert_eq!((rules.0.len(), errors.len()), (0, wrong.len()));
        assert_snapshot!(errors[0], @"kitfox.toml: `localhost` in `plugins.allow_addresses` is no address (write `host:port`, an address as `10.0.0.7`, or a network as `10.0.0.0/8`)");
    }
}
