use axum::http::HeaderValue;
use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1";

fn proxies() -> TrustedProxies {
    TrustedProxies::parse("10.0.0.0/8, 2001:db8:1::/48").expect("networks")
}

fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    proxies().client(peer.parse().expect("an address"), &map).to_string()
}

#[test]
fn who_is_no_proxy_of_ours_is_believed_nothing() {
    let told = [("x-forwarded-for", "192.0.2.9"), ("forwarded", "for=192.0.2.9")];
    assert_eq!(client("192.0.2.1", &told), "192.0.2.1");
    assert_eq!(client("::ffff:192.0.2.1", &[]), "192.0.2.1");
}

#[test]
fn the_nearest_address_that_is_no_proxy_is_the_client() {
    let by = |name: &'static str, value: &str| client(PROXY, &[(name, value)]);
    for (value, address) in [
        ("192.0.2.9", "192.0.2.9"),
        ("6.6.6.6, 192.0.2.9", "192.0.2.9"),
        ("6.6.6.6, 192.0.2.9 , 10.1.2.3", "192.0.2.9"),
        ("what, 192.0.2.9:4711", "192.0.2.9"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("10.7.7.7, 10.1.2.3", "10.7.7.7"),
        // Not to be known: the proxy itself.
        ("192.0.2.9, what", PROXY),
        ("192.0.2.9, ", PROXY),
        ("192.0.2.9, unknown, 10.1.2.3", PROXY),
        ("192.0.2.9;6.6.6.6", PROXY),
        ("", PROXY),
    ] {
        assert_eq!(by("x-forwarded-for", value), address, "{value}");
    }
    for (value, address) in [
        ("for=192.0.2.9", "192.0.2.9"),
        ("For=\"192.0.2.9:80\";proto=https;by=10.0.0.1", "192.0.2.9"),
        ("for=6.6.6.6, for=192.0.2.9;host=\"a, b\", for=10.1.2.3", "192.0.2.9"),
        ("proto=http;for=\"[2001:db8::7]:4711\"", "2001:db8::7"),
        ("for=unknown", PROXY),
        ("for=_hidden", PROXY),
        ("for=192.0.2.9, proto=https", PROXY),
        ("for=192.0.2.9;for=6.6.6.6", PROXY),
        ("for=[2001:db8::7]", PROXY), // brackets want quotes
        ("for=192.0.2.9,", PROXY),
        ("for =192.0.2.9", PROXY),
        ("for=\"192.0.2.9", PROXY),
        // Quotes that a client leaves open swallow nothing of ours.
        ("for=\"6.6.6.6, for=192.0.2.9", PROXY),
        ("for=\"x, for=\"192.0.2.9\"", PROXY),
    ] {
        assert_eq!(by("forwarded", value), address, "{value}");
    }
}

#[test]
fn each_proxy_may_add_a_line() {
    let lines =
        [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.9"), ("x-forwarded-for", "10.1.1.1")];
    assert_eq!(client(PROXY, &lines), "192.0.2.9");
}

#[test]
fn two_headers_have_to_agree() {
    let both =
        |forwarded: &str, list: &str| client(PROXY, &[("forwarded", forwarded), ("x-forwarded-for", list)]);
    assert_eq!(both("for=192.0.2.9", "6.6.6.6, 192.0.2.9"), "192.0.2.9");
    assert_eq!(both("for=6.6.6.6", "192.0.2.9"), PROXY);
    assert_eq!(both("what", "192.0.2.9"), PROXY);
}

#[test]
fn what_is_no_network_is_named() {
    assert!(TrustedProxies::parse("10.0.0.0/8,::1").is_ok());
    for bad in ["", "10.0.0.0/33", "10.0.0.0/8,,::1", "proxy.example"] {
        assert!(TrustedProxies::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn one_client_has_all_of_a_network() {
    let network = |text: &str| ClientAddress(text.parse().expect("an address")).network().to_string();
    assert_eq!(network("192.0.2.9"), "192.0.2.9");
    assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|it| IpAddr::V4(it.into())),
        any::<u128>().prop_map(|it| IpAddr::V6(it.into()))
    ]
}

proptest! {
    /// Whatever a client sends, what the proxy adds behind it counts.
    #[test]
    fn a_client_cannot_choose_its_address(sent in "[ -~]{0,60}", address in addresses()) {
        let address = address.to_canonical();
        prop_assume!(!proxies().trusts(address));
        let added = |name, line: String| client(PROXY, &[(name, line.as_str())]);
        prop_assert_eq!(added("x-forwarded-for", format!("{sent}, {address}")), address.to_string());
        let node = if address.is_ipv6() { format!("\"[{address}]\"") } else { address.to_string() };
        let told = added("forwarded", format!("{sent}, for={node}"));
        prop_assert!(told == address.to_string() || told == PROXY, "{}", told);
        let own_line = [("forwarded", sent.as_str()), ("forwarded", &format!("for={node}"))];
        prop_assert_eq!(client(PROXY, &own_line), address.to_string());
    }

    /// What is well written is read, and nothing makes the parser stumble.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}", address in addresses(), port in any::<u16>()) {
        let _ = (forwarded(&text), node(&text));
        let socket = SocketAddr::new(address, port).to_string();
        prop_assert_eq!(node(&socket), Some(address.to_canonical()));
        let line = format!("for=\"{socket}\"");
        prop_assert_eq!(forwarded(&line), Some(vec![Some(socket.as_str())]));
    }
}
