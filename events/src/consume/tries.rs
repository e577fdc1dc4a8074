//! How often messages of an ordered route were tried that are not done: noted beside the offset that is
//! committed, so that whoever gets the partition goes on counting.

use std::{collections::BTreeMap, fmt::Write as _};

/// A broker takes 4,096 bytes unless it is told otherwise. What is beyond it is counted anew.
const MAX_NOTE_BYTES: usize = 2000;

/// By their offsets.
pub(super) type Tries = BTreeMap<i64, u32>;

/// `offset:tries`, with spaces between them, the first messages first.
pub(super) fn write<'t>(tries: impl IntoIterator<Item = (&'t i64, &'t u32)>) -> String {
    let mut note = String::new();
    for (offset, tries) in tries {
        let end = note.len();
        let space = if note.is_empty() { "" } else { " " };
        let _ = write!(note, "{space}{offset}:{tries}"); // a String takes all
        if note.len() > MAX_NOTE_BYTES {
            note.truncate(end);
            break;
        }
    }
    note
}

/// What is no such note says nothing: anybody may commit offsets of a group, with a note of their own.
pub(super) fn read(note: &str) -> Tries {
    let entry = |entry: &str| {
        let (offset, tries) = entry.split_once(':')?;
        Some((offset.parse().ok()?, tries.parse().ok()?))
    };
    note.split(' ').filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_was_written() {
        let tries = Tries::from([(7, 1), (12, 100)]);
        assert_eq!(write(&tries), "7:1 12:100");
        assert_eq!(read(&write(&tries)), tries);
        assert_eq!(write(&Tries::new()), "");
        for nothing in ["", " ", "x", "7", "7:", ":1", "7:-1", "x:1"] {
            assert_eq!(read(nothing), Tries::new(), "{nothing:?}");
        }
    }

    #[test]
    fn a_note_fits_and_has_the_first() {
        let tries: Tries = (0..1000).map(|n| (i64::MAX - 1000 + n, u32::MAX)).collect();
        let note = write(&tries);
        assert!((MAX_NOTE_BYTES - 40..=MAX_NOTE_BYTES).contains(&note.len()), "{}", note.len());
        let kept = read(&note);
        assert!(kept.len() > 50 && tries.keys().take(kept.len()).eq(kept.keys()));
    }
}
