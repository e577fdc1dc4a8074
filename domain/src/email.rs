//! E-mail addresses: which ones are taken, and how SMTP and a mail's header write them. See docs/adr/0033.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use crate::{Invalid, text::is_invisible};

/// In bytes, on the wire: RFC 5321, section 4.5.3.1.
const MAX_LOCAL: usize = 64;
const MAX_ADDRESS: usize = 254;
/// In characters, as it came: a letter may be written as itself and up to three marks.
pub const MAX_WRITTEN: usize = 4 * MAX_ADDRESS;
/// What a mailbox may be called, beyond letters and digits: RFC 5322, section 3.2.3, and dots wherever they
/// stand.
const PUNCTUATION: &str = ".!#$%&'*+-/=?^_`{|}~";

/// An address as mail servers read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Wire {
    /// In quotes if it is no dot-atom. In letters beyond ASCII if the mailbox is: those need SMTPUTF8.
    pub local: String,
    /// In ASCII, with A-labels.
    pub domain: String,
}

/// Checks an address, and gives it as it came.
pub(crate) fn parse(field: &str, address: &str) -> Result<String, Invalid> {
    match on_the_wire(address) {
        Some(_) => Ok(address.to_owned()),
        None => Err(Invalid::new(field, "must be an e-mail address such as ann@example.org")),
    }
}

/// None: it is no address. Nothing but this decides, at the door and when a mail is sent, so no order that
/// was taken is without its mails for how its address is written.
pub fn on_the_wire(address: &str) -> Option<Wire> {
    if address.chars().count() > MAX_WRITTEN {
        return None;
    }
    let (local, domain) = address.rsplit_once('@')?;
    let (local, domain) = (mailbox(local)?, host(domain)?);
    (local.len() + "@".len() + domain.len() <= MAX_ADDRESS).then_some(Wire { local, domain })
}

/// Carriers have given away mailboxes like `a..b.`, which SMTP takes in quotes alone.
fn mailbox(text: &str) -> Option<String> {
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let name: String = quoted.unwrap_or(text).nfc().collect();
    let names_something = name.chars().any(|c| c != '.');
    if !names_something || !name.chars().all(is_of_mailbox) || name.starts_with(is_combining_mark) {
        return None;
    }
    let is_dot_atom = name.split('.').all(|atom| !atom.is_empty());
    let name = if is_dot_atom { name } else { format!("\"{name}\"") };
    (name.len() <= MAX_LOCAL).then_some(name)
}

fn is_of_mailbox(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || PUNCTUATION.contains(c),
        false => !is_invisible(c),
    }
}

/// A domain in A-labels. One that ends in a number is an IP address, at which nobody has a mailbox.
fn host(text: &str) -> Option<String> {
    if text.contains(is_invisible) {
        return None; // IDNA would leave it out
    }
    let host = Uts46::new().to_ascii(
        text.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
        DnsLength::Verify,
    );
    let host = host.ok()?.into_owned();
    let top = host.rsplit('.').next().unwrap_or_default();
    (!top.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(address: &str) -> Option<String> {
        on_the_wire(address).map(|Wire { local, domain }| format!("{local}@{domain}"))
    }

    #[test]
    fn addresses_as_mail_servers_read_them() {
        for (address, sent) in [
            ("ann@example.org", "ann@example.org"),
            ("Ann.O'Hara+tea=1@EXAMPLE.org", "Ann.O'Hara+tea=1@example.org"),
            ("a..b.@docomo.ne.jp", "\"a..b.\"@docomo.ne.jp"),
            (".a@ezweb.ne.jp", "\".a\"@ezweb.ne.jp"),
            ("\"a..b.\"@docomo.ne.jp", "\"a..b.\"@docomo.ne.jp"),
            ("\"ann\"@example.org", "ann@example.org"),
            ("ann@grün.example", "ann@xn--grn-ioa.example"),
            ("ann@gru\u{308}n.example", "ann@xn--grn-ioa.example"),
            ("ann@straße.example", "ann@xn--strae-oqa.example"),
            ("ann@例え.テスト", "ann@xn--r8jz45g.xn--zckzah"),
            ("ann@例え。テスト", "ann@xn--r8jz45g.xn--zckzah"),
            ("ann@xn--grn-ioa.example", "ann@xn--grn-ioa.example"),
            ("jürgen@example.org", "jürgen@example.org"),
            ("ju\u{308}rgen@example.org", "jürgen@example.org"),
            ("संपर्क@डाटा.example", "संपर्क@xn--c2bd1gb.example"),
            ("用户.@例子.广告", "\"用户.\"@xn--fsqu00a.xn--4rr70v"),
            ("ann@localhost", "ann@localhost"),
        ] {
            assert_eq!(wire(address).as_deref(), Some(sent), "{address}");
            assert_eq!(parse("email", address).as_deref(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address() {
        let long = |local: usize, label: usize| format!("{}@{}.org", "x".repeat(local), "y".repeat(label));
        assert!(wire(&long(64, 63)).is_some());
        let labels = ["y".repeat(60), "y".repeat(60), "y".repeat(60), "y".repeat(60)].join(".");
        let none = [
            "",
            "ann",
            "@",
            "ann@",
            "@example.org",
            "..@example.org",
            "\"\"@example.org",
            "\"@example.org",
            "a b@example.org",
            "\"a b\"@example.org",
            "a\"b@example.org",
            "a@b@example.org",
            "ann@example.org ",
            " ann@example.org",
            "Ann <ann@example.org>",
            "<ann@example.org>",
            "a,b@example.org",
            "a;b@example.org",
            "a\\b@example.org",
            "a:b@example.org",
            "a(b)@example.org",
            "a\r\nb@example.org",
            "a\0b@example.org",
            "a\u{7f}b@example.org",
            "a\u{200b}b@example.org",
            "a\u{202e}b@example.org",
            "a\u{3000}b@example.org",
            "\u{301}a@example.org",
            "ann@exam ple.org",
            "ann@exa\u{ad}mple.org",
            "ann@exa\u{200b}mple.org",
            "ann@example..org",
            "ann@.example.org",
            "ann@example.org.",
            "ann@-example.org",
            "ann@example-.org",
            "ann@exa_mple.org",
            "ann@example.org>",
            "ann@[127.0.0.1]",
            "ann@127.0.0.1",
            "ann@xn--a.example",
            "ann＠example.org",
            "ann@exa%mple.org",
            "ann@example.org/x",
        ];
        for address in none.map(str::to_owned).into_iter().chain([
            long(65, 3),
            long(1, 64),
            format!("a@{labels}.y.org.example"),
            format!("a@a{}b.example", "\u{1bca0}".repeat(MAX_WRITTEN)), // of which IDNA leaves nothing
        ]) {
            assert!(wire(&address).is_none(), "{address:?}");
        }
    }
}
