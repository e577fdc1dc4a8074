//! The code by which a guest shows that the stay is theirs.

use crate::Invalid;

const LENGTH: usize = 8;
/// No letters that are mistaken for others when they are read aloud or typed: neither 0 nor O, 1, I nor L.
const ALPHABET: &[u8; 31] = b"23456789ABCDEFGHJKMNPQRSTUVWXYZ";
/// So many wrong codes lock the check-in of an order: whoever tries them all has no chance.
pub const MAX_WRONG: i32 = 5;

/// A check-in code. A secret: it has no `Debug`, so that it is not shown by accident.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
pub struct Code(String);

impl Code {
    /// A code out of `random`, which must come from the operating system. Of 2^64 numbers, each of the 31^8
    /// codes gets the same share but for one in twenty million.
    pub fn draw(mut random: u64) -> Self {
        let radix = ALPHABET.len() as u64;
        let letter = |_| {
            let digit = random % radix;
            random /= radix;
            char::from(ALPHABET[digit as usize])
        };
        Self((0..LENGTH).map(letter).collect())
    }

    /// Reads what somebody typed: small letters, spaces and dashes do not matter.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let typed = text.chars().filter(|c| !matches!(c, ' ' | '-')).map(|c| c.to_ascii_uppercase());
        let code: String = typed.take(LENGTH + 1).collect();
        match code.len() == LENGTH && code.bytes().all(|b| b.is_ascii_alphanumeric()) {
            true => Ok(Self(code)),
            false => {
                Err(Invalid::new("code", format!("must be the {LENGTH} letters and digits of the mail")))
            }
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_write_it() {
        for random in [0, 1, 12_345_678_901, u64::MAX] {
            let code = Code::draw(random);
            assert_eq!(code.as_str().len(), LENGTH);
            assert!(code.as_bytes().iter().all(|letter| ALPHABET.contains(letter)));
            let (head, tail) = code.as_str().split_at(4);
            for typed in
                [format!("{head}{tail}"), format!("{head}-{tail}"), format!(" {head} {tail} ").to_lowercase()]
            {
                assert!(Code::parse(&typed).is_ok_and(|read| read == code), "{typed}");
            }
        }
        assert!(Code::draw(0) != Code::draw(1));
        for bad in ["", "ABCD", "ABCD-EFGH-2", "ABCD-EFG\u{e9}", "ABCD_EFG"] {
            assert!(Code::parse(bad).is_err(), "{bad}");
        }
    }
}
