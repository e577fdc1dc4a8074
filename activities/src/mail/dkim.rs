//! Signs mails (DKIM, RFC 6376): whoever receives one sees that it is the shop's, and that nobody changed it.
//! Ours, since lettre's signing brings a second cryptography library, and one that can be timed.

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lettre::{
    Message,
    message::header::{HeaderName, HeaderValue},
};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

/// What is signed, as far as a mail has it. The first four are signed once more than they stand there, so
/// that nobody can add another.
const SIGNED: [&str; 11] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
    "Auto-Submitted",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];
const SEALED: usize = 4;
/// Of a line of the signature. RFC 5322 takes 78 characters.
const LINE: usize = 72;

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Signs as a domain, with a key whose public part stands in DNS under `{selector}._domainkey.{domain}`.
pub struct Signer {
    domain: String,
    selector: String,
    key: Key,
}

impl Signer {
    /// `key`: PEM, of PKCS#8 or PKCS#1; RSA of at least 2048 bits, or Ed25519.
    ///
    /// # Errors
    /// What is wrong with them. Nothing of the key is said.
    pub fn new(domain: &str, selector: &str, key: &str) -> anyhow::Result<Self> {
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !selector.split('.').all(is_label) || !domain.split('.').all(is_label) {
            bail!("the selector and the domain must be names such as mail2026 and shop.example");
        }
        let (domain, selector) = (domain.to_ascii_lowercase(), selector.to_ascii_lowercase());
        Ok(Self { domain, selector, key: read(key)? })
    }

    /// Adds the signature.
    ///
    /// # Errors
    /// If the system has no random bytes for it.
    pub fn sign(&self, message: &mut Message) -> anyhow::Result<()> {
        let formatted = message.formatted();
        let (headers, body) = split(&formatted).context("a mail has a body")?;
        let headers = unfold(&String::from_utf8_lossy(headers));
        let names: Vec<&str> = signed(&headers);
        let hash = digest::digest(&digest::SHA256, &canonical_body(body));
        let algorithm = match self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        };
        let value = format!(
            "v=1; a={algorithm}; c=relaxed/relaxed; d={};\r\n s={};\r\n h={};\r\n bh={};\r\n b=",
            self.domain,
            self.selector,
            folded(&names),
            STANDARD.encode(hash)
        );
        let mut text = canonical_headers(&headers, &names);
        text.push_str(&canonical_header("DKIM-Signature", &value.replace("\r\n", "")));
        let signature = STANDARD.encode(self.signature(text.as_bytes())?);
        let value = value + &in_lines(&signature);
        // Letters, digits and signs of base64, in lines that are short enough: nothing is left to encode.
        let header = HeaderName::new_from_ascii_str("DKIM-Signature");
        let header = HeaderValue::dangerous_new_pre_encoded(header, value.clone(), value);
        message.headers_mut().insert_raw(header);
        Ok(())
    }

    fn signature(&self, text: &[u8]) -> anyhow::Result<Vec<u8>> {
        match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature);
                signed.map_err(|_| anyhow::anyhow!("the mail cannot be signed"))?;
                Ok(signature)
            }
            // RFC 8463: the hash is what is signed.
            Key::Ed25519(key) => {
                Ok(key.sign(digest::digest(&digest::SHA256, text).as_ref()).as_ref().to_vec())
            }
        }
    }
}

fn read(pem: &str) -> anyhow::Result<Key> {
    // Where a setting has one line, it is written with `\n`.
    let pem = pem.replace("\\n", "\n");
    let what = "the key must be PEM of a private key: RSA of 2048 to 4096 bits, or Ed25519";
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok().context(what)?;
    let key = match &der {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok().map(Key::Rsa),
        PrivateKeyDer::Pkcs8(der) => {
            let der = der.secret_pkcs8_der();
            let rsa = || RsaKeyPair::from_pkcs8(der).ok().map(Key::Rsa);
            let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Key::Ed25519);
            rsa().or_else(ed25519)
        }
        _ => None,
    };
    key.context(what)
}

/// The headers, with the end of the last line, and the body.
fn split(mail: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = mail.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((&mail[..end + 2], &mail[end + 4..]))
}

/// `(name, value)` of each header, in one line.
fn unfold(headers: &str) -> Vec<(String, String)> {
    let joined = headers.replace("\r\n ", " ").replace("\r\n\t", " ");
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    joined.split("\r\n").filter_map(header).collect()
}

/// Which of ours are there, with those that are sealed once more.
fn signed<'a>(headers: &[(String, String)]) -> Vec<&'a str> {
    let is_there = |name: &&str| headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    SIGNED.into_iter().filter(is_there).chain(SIGNED.into_iter().take(SEALED)).collect()
}

/// RFC 6376, 3.4.2. One that is named once more than it stands there is nothing the second time.
fn canonical_headers(headers: &[(String, String)], names: &[&str]) -> String {
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let is_first = !names[..i].contains(name);
        let header = headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        if let Some((name, value)) = header.filter(|_| is_first) {
            text.push_str(&canonical_header(name, value));
            text.push_str("\r\n");
        }
    }
    text
}

fn canonical_header(name: &str, value: &str) -> String {
    let words = value.split([' ', '\t']).filter(|word| !word.is_empty());
    format!("{}:{}", name.to_ascii_lowercase(), words.collect::<Vec<_>>().join(" "))
}

/// RFC 6376, 3.4.4.
fn canonical_body(body: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(body.len());
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut is_space = false;
        for byte in line {
            match byte {
                b' ' | b'\t' => is_space = true,
                byte => {
                    canonical.extend(is_space.then_some(b' '));
                    canonical.push(*byte);
                    is_space = false;
                }
            }
        }
        canonical.extend(b"\r\n");
    }
    while canonical.ends_with(b"\r\n\r\n") {
        canonical.truncate(canonical.len() - 2);
    }
    if canonical == b"\r\n" { Vec::new() } else { canonical }
}

/// Names with colons between them, in lines.
fn folded(names: &[&str]) -> String {
    let lines: Vec<String> = names.chunks(5).map(|some| some.join(":")).collect();
    lines.join(":\r\n  ")
}

fn in_lines(text: &str) -> String {
    // Of ASCII: base64.
    let lines: Vec<&str> =
        (0..text.len()).step_by(LINE).map(|at| &text[at..text.len().min(at + LINE)]).collect();
    lines.join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6376, 3.4.5.
    #[test]
    fn whitespace_does_not_matter() {
        let mail = b"A: X \r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n";
        let (headers, body) = split(mail).expect("both");
        assert_eq!(canonical_body(body), b" C\r\nD E\r\n");
        let headers = unfold(std::str::from_utf8(headers).expect("ASCII"));
        assert_eq!(canonical_header(&headers[0].0, &headers[0].1), "a:X");
        assert_eq!(canonical_header(headers[1].0.trim(), &headers[1].1), "b:Y Z");
        assert_eq!(canonical_body(b""), b"");
        assert_eq!(canonical_body(b"\r\n\r\n"), b"");
        assert_eq!(canonical_body(b"x"), b"x\r\n");
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        for key in ["", "secret", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"] {
            let refused = Signer::new("shop.example", "mail", key).err().expect(key).to_string();
            assert!(!refused.contains("secret") && !refused.contains("c2Vj"), "{refused}");
        }
        assert!(Signer::new("shop example", "mail", "").is_err());
    }
}
