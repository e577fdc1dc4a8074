//! The address of who is calling: that of the connection, unless a proxy that we trust holds it. Then the
//! proxy says for whom, by `Forwarded` (RFC 7239) or `X-Forwarded-For`.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, header},
    middleware::Next,
    response::Response,
};
use ipnet::IpNet;

use super::Gateway;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of who is calling, as far as we can know it: in the extensions of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// What one client has all of: a network of IPv6 is given to each, with 2^64 addresses to choose from.
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        }
    }
}

/// Proxies whose word about addresses is believed. None by default.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Networks with commas between them: `10.0.0.0/8, 2001:db8::1`.
    ///
    /// # Errors
    /// A sentence that names what is no network.
    pub fn parse(text: &str) -> Result<Self, String> {
        let network = |it: &str| {
            let it = it.trim();
            let parsed = it.parse::<IpNet>().ok().or_else(|| it.parse::<IpAddr>().map(IpNet::from).ok());
            parsed.ok_or_else(|| format!("`{it}` is no network; they look like 10.0.0.0/8 or 2001:db8::1"))
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The nearest address that is none of our proxies'. Whatever stands before it, its owner could write.
    /// Two headers that tell different things are one too many: one of them came from the client.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let told = |name: &HeaderName, hops: fn(&str) -> Option<Vec<Hop<'_>>>| {
            let is_there = headers.contains_key(name);
            is_there.then(|| self.nearest(headers, name, hops))
        };
        let forwarded = told(&header::FORWARDED, forwarded);
        let x_forwarded_for = told(&X_FORWARDED_FOR, x_forwarded_for);
        let client = match (forwarded, x_forwarded_for) {
            (Some(one), Some(other)) => one.filter(|_| one == other),
            (one, other) => one.or(other).flatten(),
        };
        client.unwrap_or(peer)
    }

    /// From the last to the first: our own proxies, then the client. None: it is not to be known.
    fn nearest(
        &self,
        headers: &HeaderMap,
        name: &HeaderName,
        hops: fn(&str) -> Option<Vec<Hop<'_>>>,
    ) -> Option<IpAddr> {
        let mut first = None;
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        for line in lines.into_iter().rev() {
            for hop in hops(line.to_str().ok()?)?.into_iter().rev() {
                let address = node(hop?)?;
                if !self.trusts(address) {
                    return Some(address);
                }
                first = Some(address);
            }
        }
        first // all are ours: it is one of us who asks
    }
}

/// Where a request came from on one stretch of its way, as it is written. None: the proxy does not say.
type Hop<'a> = Option<&'a str>;

fn x_forwarded_for(line: &str) -> Option<Vec<Hop<'_>>> {
    Some(line.split(',').map(|hop| Some(hop.trim_matches([' ', '\t']))).collect())
}

/// RFC 7239, 4: elements with commas between them, of pairs with semicolons between them. None: it is not
/// written so, and nobody can say who wrote what.
fn forwarded(line: &str) -> Option<Vec<Hop<'_>>> {
    let mut hops = vec![None];
    let mut rest = line.trim_matches([' ', '\t']);
    loop {
        let (name, after) = rest.split_once('=').filter(|(name, _)| is_token(name))?;
        let (value, after) = value(after)?;
        if name.eq_ignore_ascii_case("for") && hops.last_mut()?.replace(value).is_some() {
            return None;
        }
        let after = after.trim_start_matches([' ', '\t']);
        let mut separated = after.chars();
        match separated.next() {
            None => return Some(hops),
            Some(',') => {
                hops.push(None);
                rest = separated.as_str().trim_start_matches([' ', '\t']);
            }
            Some(';') => rest = separated.as_str(),
            Some(_) => return None,
        }
    }
}

/// A token or a quoted string, and what stands behind it. No address needs an escape.
fn value(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').filter(|(value, _)| !value.contains('\\')),
        None => {
            let end = text.find(|c| !is_token_char(c)).unwrap_or(text.len());
            text.split_at_checked(end).filter(|(value, _)| !value.is_empty())
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

/// RFC 9110, 5.6.2.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// An address, maybe with a port. `unknown` and made-up names are none.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().map(IpAddr::V6).ok();
    let address = text.parse::<IpAddr>().ok().or_else(bracketed);
    let address = address.or_else(|| text.parse::<SocketAddr>().map(|it| it.ip()).ok());
    address.map(|it| it.to_canonical())
}

/// Tells the request whose it is.
pub async fn resolve(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() {
        let client = gateway.proxies.client(peer.ip(), request.headers());
        request.extensions_mut().insert(ClientAddress(client));
    }
    next.run(request).await
}

#[cfg(test)]
mod tests;
