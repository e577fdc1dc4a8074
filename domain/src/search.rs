//! How text is searched: as words, and words that are alike by their trigrams.
//!
//! Done here and not by PostgreSQL's `pg_trgm`: see docs/adr/0017.

use std::collections::BTreeSet;

use unicode_normalization::char::is_combining_mark;

use crate::{Invalid, fold::fold, stock::Sku, text};

/// Which idea of a word this is. Another one needs another number: `holdfast migrate` finds the products by
/// it whose words are to be made anew.
pub const WORDS_VERSION: u32 = 3;
/// So many words of a query count.
const MAX_WORDS: usize = 8;
/// Letters of a word that count.
const MAX_WORD: usize = 40;
/// In a shorter word one wrong letter leaves too little to go by.
const MIN_MISSPELT: usize = 4;

/// What somebody searches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// In small letters, if a SKU could begin like this.
    pub sku: Option<String>,
    /// Each of them must be found.
    pub words: Vec<String>,
}

impl Query {
    /// `None` if nothing is asked for.
    pub fn parse(q: &str) -> Result<Option<Self>, Invalid> {
        let q = text::unseen_line("q", q.trim(), 200)?;
        if q.is_empty() {
            return Ok(None);
        }
        let sku = Sku::parse(&fold(&q)).ok().map(|sku| sku.as_str().to_owned());
        let mut query = words(&q);
        query.truncate(MAX_WORDS);
        Ok(Some(Self { sku, words: query }))
    }
}

/// The words of a text, folded, each once, in the order they come.
pub fn words(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut words = Vec::new();
    let mut word = String::new();
    let mut end = |word: &mut String| {
        let word: String = std::mem::take(word).chars().take(MAX_WORD).collect();
        if !word.is_empty() && seen.insert(word.clone()) {
            words.push(word);
        }
    };
    for c in fold(text).chars() {
        if is_combining_mark(c) {
            word.extend((!word.is_empty()).then_some(c)); // no letter by itself, and no end of a word
        } else if !c.is_alphanumeric() || is_apostrophe(c) {
            end(&mut word);
        } else if is_word_alone(c) {
            end(&mut word);
            end(&mut c.to_string());
        } else {
            word.push(c);
        }
    }
    end(&mut word);
    words
}

/// The words that a text is found by: who searches may have left its apostrophes out.
pub fn indexed(text: &str) -> Vec<String> {
    let mut found = words(text);
    let without: String =
        text.chars().filter(|c| !matches!(c, '\'' | '\u{2019}' | '\u{ff07}') && !is_apostrophe(*c)).collect();
    if without.len() < text.len() {
        found.extend(words(&without).into_iter().filter(|word| !found.contains(word)).collect::<Vec<_>>());
    }
    found
}

/// Unicode has apostrophes that are letters. Whoever types one, types any.
const fn is_apostrophe(c: char) -> bool {
    matches!(c, '\u{2b9}'..='\u{2bf}')
}

/// Chinese and Japanese are written without spaces: each character is found by itself.
const fn is_word_alone(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Whether a word may have been meant by one like it. Numbers are meant as they are.
pub fn has_alike(word: &str) -> bool {
    word.chars().all(char::is_alphabetic) && word.chars().count() >= MIN_MISSPELT - 1
}

/// Whether to look for words like this one.
pub fn may_be_misspelt(word: &str) -> bool {
    has_alike(word) && word.chars().count() >= MIN_MISSPELT
}

/// Every three letters in a row, with two spaces before the word and one after: the beginning counts most.
pub fn trigrams(word: &str) -> BTreeSet<String> {
    let letters: Vec<char> = "  ".chars().chain(word.chars()).chain([' ']).collect();
    letters.windows(3).map(|three| three.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_script() {
        assert_eq!(words("Green tea, GREEN-leaf 100%"), ["green", "tea", "leaf", "100"]);
        assert_eq!(words("Cafe\u{301} Grün"), ["cafe", "grun"]);
        assert_eq!(words("か\u{3099}\u{3099}み"), ["が", "み"]);
        assert_eq!(words("м\u{2bc}ята м'ята"), ["м", "ята"]);
        assert_eq!(words("हिन्दी क़लम"), ["हिन्दी", "कलम"]);
        assert_eq!(words("日本绿茶 500g"), ["日", "本", "绿", "茶", "500g"]);
        assert_eq!(words("' \\ & | ! : * <->"), [""; 0]);
        assert_eq!(words(&"x".repeat(500))[0].len(), MAX_WORD);
    }

    #[test]
    fn apostrophes_may_be_left_out() {
        assert_eq!(indexed("O\u{2019}Brien's tea"), ["o", "brien", "s", "tea", "obriens"]);
        assert_eq!(indexed("tea"), ["tea"]);
    }

    #[test]
    fn a_query_may_be_the_beginning_of_a_sku() {
        let query = |q: &str| Query::parse(q).expect("valid").map(|query| (query.sku, query.words.join(" ")));
        assert_eq!(query("TEA-gr"), Some((Some("tea-gr".into()), "tea gr".into())));
        assert_eq!(query("ＴＥＡ－１"), Some((Some("tea-1".into()), "tea 1".into())));
        assert_eq!(query(" green tea "), Some((Some("green tea".into()), "green tea".into())));
        assert_eq!(query(" "), None);
        assert_eq!(query("a b c d e f g h i, j"), Some((None, "a b c d e f g h".into())));
        assert_eq!(query("A/1 +2"), Some((Some("a/1 +2".into()), "a 1 2".into())));
        assert!(Query::parse(&"x".repeat(201)).is_err());
    }

    #[test]
    fn trigrams_of_a_word() {
        let of = |word: &str| trigrams(word).into_iter().collect::<Vec<_>>();
        assert_eq!(of("tea"), ["  t", " te", "ea ", "tea"]);
        assert_eq!(of("é"), ["  é", " é "]);
        assert!(may_be_misspelt("gren") && !may_be_misspelt("tea") && has_alike("tea") && !has_alike("b52s"));
    }
}
