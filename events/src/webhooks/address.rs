//! Where webhooks may go: to the public internet, and to networks that whoever runs Holdfast names. Else an
//! endpoint would be a way to speak to what stands beside us. A name is resolved here, and the connection
//! goes to an address that was checked: a name that means another one a moment later changes nothing.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// IPv4 that is not the public internet (RFC 6890 and what followed), and one public address that is a
/// cloud's metadata service.
const NOT_PUBLIC: [([u8; 4], u8); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([168, 63, 129, 16], 32),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Where IPv6 is given out to the world. All else is not: loopback, link-local, unique local, multicast, IPv4
/// that is mapped, compatible or translated.
const PUBLIC_6: ([u16; 8], u8) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// Within that: protocols' own (Teredo among them), documentation, IPv4 within IPv6.
const NOT_PUBLIC_6: [([u16; 8], u8); 4] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

fn is_public(address: IpAddr) -> bool {
    let net4 = |(octets, length): &([u8; 4], u8)| Ipv4Net::new_assert(Ipv4Addr::from(*octets), *length);
    let net6 = |(segments, length): &([u16; 8], u8)| Ipv6Net::new_assert(Ipv6Addr::from(*segments), *length);
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC.iter().any(|range| net4(range).contains(&address)),
        IpAddr::V6(address) => {
            net6(&PUBLIC_6).contains(&address)
                && !NOT_PUBLIC_6.iter().any(|range| net6(range).contains(&address))
        }
    }
}

/// Networks that webhooks may go to though they are not public. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Networks(Arc<[IpNet]>);

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no network, such as 10.1.0.0/16 or fd00::/8")]
pub struct BadNetwork(String);

impl Networks {
    /// Reads networks with commas between them. An address stands for itself.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse(text: &str) -> Result<Self, BadNetwork> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let read = |part: &str| {
            let net = part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| BadNetwork(part.to_owned()))
        };
        Ok(Self(parts.map(read).collect::<Result<_, _>>()?))
    }

    /// This machine alone: for those who try things out.
    pub fn loopback() -> Self {
        let (v4, v6) =
            (Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8), Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128));
        Self(Arc::new([v4.into(), v6.into()]))
    }

    pub fn allow(&self, address: IpAddr) -> bool {
        is_public(address) || self.0.iter().any(|net| net.contains(&address))
    }

    /// What is wrong with a URL, as far as that can be known without asking for its name.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, text: &str) -> Result<Url, &'static str> {
        const NO_URL: &str = "must be a URL such as https://shop.example/webhooks";
        // A parser leaves these out, or mends them; what is stored is what somebody wrote.
        let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '\\';
        let has_authority = text.split_once("://").is_none_or(|(_, rest)| !rest.starts_with('/'));
        if !text.chars().all(is_plain) || !has_authority {
            return Err(NO_URL);
        }
        let url = Url::parse(text).map_err(|_| NO_URL)?;
        if url.port() == Some(0) {
            return Err("must have a port that is one");
        }
        if !matches!(url.scheme(), "https" | "http") {
            return Err("must begin with https:// or http://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must have no user and password in it");
        }
        if url.fragment().is_some() {
            return Err("must have no fragment");
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err("must have a host"),
        };
        match literal.is_none_or(|address| self.allow(address)) {
            true => Ok(url),
            false => Err("must not be a private, local or reserved address"),
        }
    }
}

/// No address of a name is one that webhooks may go to.
#[derive(Debug, thiserror::Error)]
#[error("its addresses are private, local or reserved")]
pub(super) struct Refused;

/// The name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
pub(super) struct Unknown;

/// What a name means at this moment; for the port 0, which is replaced by the URL's.
pub(super) type LookUp = dyn Fn(Name) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// Resolves names to addresses that webhooks may go to. The connection goes to one of these: what is checked
/// and what is connected to come of one look-up.
pub(super) struct Resolver {
    networks: Networks,
    look_up: Box<LookUp>,
}

impl Resolver {
    /// By the system's resolver.
    pub fn of_system(networks: Networks) -> Self {
        let look_up = |name: Name| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            Box::pin(async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) })
        };
        Self { networks, look_up: Box::new(look_up) }
    }

    #[cfg(test)]
    pub fn new(networks: Networks, look_up: Box<LookUp>) -> Self {
        Self { networks, look_up }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (networks, looked_up) = (self.networks.clone(), (self.look_up)(name));
        Box::pin(async move {
            let found = looked_up.await.map_err(|_| Unknown)?;
            if found.is_empty() {
                return Err(Unknown.into());
            }
            let allowed: Vec<SocketAddr> = found.into_iter().filter(|it| networks.allow(it.ip())).collect();
            match allowed.is_empty() {
                true => Err(Refused.into()),
                false => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_reached() {
        for public in
            ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2606:4700::1"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        let others = "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.9.9.9 168.63.129.16 \
            169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.168.1.1 198.18.0.1 \
            198.19.255.255 \
            198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 \
            :: ::1 ::7f00:1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:10.0.0.1 64:ff9b::a00:1 \
            64:ff9b:1::1 \
            100::1 fc00::1 fd00:ec2::254 fdff::1 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 2001::1 2001:2::1 \
            2001:db8::1 2002:7f00:1::1 3fff::1 4000::1";
        for other in others.split_whitespace() {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_checked_however_it_is_written() {
        let none = Networks::default();
        let local = "http://127.0.0.1/ http://2130706433/ http://0x7f000001/ http://017700000001/ \
        http://127.1/ \
            http://0/ https://[::1]/ https://[::ffff:7f00:1]/ http://[0:0:0:0:0:ffff:10.0.0.1]:8080/x \
            http://169.254.169.254/latest/meta-data http://[fd00:ec2::254]/ http://\u{ff11}27.0.0.1/";
        for url in local.split_whitespace() {
            assert!(none.check(url).is_err(), "{url}");
        }
        for url in
            ["ftp://a.test", "a.test", "https://", "https://user@a.test/", "https://a.test/#b", "file:///etc"]
        {
            assert!(none.check(url).is_err(), "{url}");
        }
        for url in ["https://shop.example/hooks?token=1", "http://1.1.1.1:8080/", "https://[2606:4700::1]/"] {
            assert!(none.check(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn networks_are_named_by_whoever_runs_it() {
        let some = Networks::parse(" 10.1.0.0/16, fd00::/8 ,127.0.0.1,").unwrap();
        for allowed in ["10.1.2.3", "fd12::1", "127.0.0.1", "9.9.9.9"] {
            assert!(some.allow(allowed.parse().unwrap()), "{allowed}");
        }
        for refused in ["10.2.0.1", "127.0.0.2", "::ffff:10.1.2.3", "::1", "fe80::1"] {
            assert!(!some.allow(refused.parse().unwrap()), "{refused}");
        }
        assert!(Networks::parse("10.1.0.0/33").is_err() && Networks::parse("localhost").is_err());
        assert!(Networks::loopback().allow("127.0.0.1".parse().unwrap()));
        assert!(Networks::loopback().allow("::1".parse().unwrap()));
        assert!(!Networks::loopback().allow("10.0.0.1".parse().unwrap()));
    }
}
