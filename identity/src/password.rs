//! Which passwords are taken, as NIST SP 800-63B has it: long ones, of whatever characters, that nobody
//! guesses among the first. No rules about digits and signs, which make passwords that people write down.

use std::fmt;

use domain::Invalid;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

const FIELD: &str = "password";
/// In characters, after normalization.
const MIN: usize = 12;
const MAX: usize = 128;
/// In bytes, as it came: a letter may be written as itself and up to three marks.
const MAX_WRITTEN_BYTES: usize = 4 * 4 * MAX;
/// Below it, less than a hundred million guesses find it.
const ENOUGH: Score = Score::Three;
/// How many characters are judged: if these are hard to guess, so are all of them. The time that it takes
/// grows with the square of it.
const JUDGED: usize = 32;
/// What may stand for a letter: each way to read such signs is tried, and with all of them one password of
/// 100 characters took 1.5 seconds. These are the rare ones, which are read as signs alone.
const RARE_LETTERS: &str = "({[<|&%+";
/// Shorter words of a name or an address say nothing about a password.
const MIN_WORD: usize = 3;

/// A password that is good enough to be somebody's. Not shown by `Debug`, and wiped from memory when it is
/// done with.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Password {
    /// Checks a new password. `context` is what others may know of its owner: the e-mail address, the name.
    ///
    /// Takes half a millisecond, and five at most, whatever is sent.
    ///
    /// # Errors
    /// About the field `password`, what has to be different.
    pub fn parse(text: &str, context: &[&str]) -> Result<Self, Invalid> {
        let too_long = || Invalid::new(FIELD, format!("must be at most {MAX} characters"));
        let text = normalized(text).ok_or_else(too_long)?;
        match text.chars().count() {
            ..MIN => return Err(Invalid::new(FIELD, format!("must be at least {MIN} characters"))),
            MIN..=MAX => {}
            _ => return Err(too_long()),
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::new(FIELD, "must not contain control characters"));
        }
        let known = words(context);
        if is_made_of(&text, &known) {
            return Err(Invalid::new(FIELD, "must not be your name or e-mail address"));
        }
        match is_easy_to_guess(&text, &known) {
            true => Err(Invalid::new(FIELD, "is easy to guess: take several words that have no connection")),
            false => Ok(Self(text)),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// As it is hashed: in NFC, so that one keyboard's letters are those of another. None: it is longer than any
/// password, which is found out before any work is done for it.
pub(crate) fn normalized(text: &str) -> Option<Zeroizing<String>> {
    if text.len() > MAX_WRITTEN_BYTES {
        return None;
    }
    // NFC makes nothing longer than three times, and a string that grows leaves copies of itself behind.
    let mut normalized = Zeroizing::new(String::with_capacity(3 * text.len()));
    normalized.extend(text.nfc());
    Some(normalized)
}

/// By lists of common passwords, names and words, by dates, by neighbours on keyboards, and by what is known
/// of the owner.
fn is_easy_to_guess(text: &str, known: &[String]) -> bool {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let read = |c| if RARE_LETTERS.contains(c) { '~' } else { c };
    let judged = Zeroizing::new(text.chars().take(JUDGED).map(read).collect::<String>());
    zxcvbn(&judged, &known).score() < ENOUGH
}

/// What is known of somebody: each text, and each word in it, in small letters. Of an e-mail address the
/// local part is one.
fn words(context: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    for text in context {
        let text: String = text.nfc().flat_map(char::to_lowercase).collect();
        let local = text.rsplit_once('@').map(|(local, _)| local.to_owned());
        words.extend(text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
        words.extend(local);
        words.push(text);
    }
    words.retain(|word| word.chars().count() >= MIN_WORD);
    words
}

/// Whether the password is these words, and nearly nothing is left without them and what stands between them.
fn is_made_of(text: &str, known: &[String]) -> bool {
    let text = Zeroizing::new(text.to_lowercase());
    let mut rest = text.clone();
    let mut known: Vec<&String> = known.iter().collect();
    known.sort_unstable_by_key(|word| std::cmp::Reverse(word.len()));
    for word in known {
        rest = Zeroizing::new(rest.replace(word.as_str(), ""));
    }
    rest.len() < text.len() && rest.chars().filter(|c| c.is_alphanumeric()).count() < MIN_WORD
}
