//! Accounts of customers: who signs in with an e-mail address and a password, and the six-digit codes by
//! which an address is shown to be somebody's own.

use jiff::SignedDuration;

use crate::{Invalid, email};

/// How long a code is good, from when its mail is written.
pub const CODE_LIFE: SignedDuration = SignedDuration::from_mins(10);
/// So many wrong codes, and the right one is worth nothing any more either.
pub const MAX_WRONG: i32 = 5;
/// At most one code is mailed to an address in so long.
pub const CODE_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// An address that nobody verifies is forgotten after so long.
pub const REGISTRATION_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Whoever does not come back for so long signs in again, and after so long in any case.
pub const SESSION_IDLE: SignedDuration = SignedDuration::from_hours(30 * 24);
pub const SESSION_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);

const DIGITS: usize = 6;

text_enum! {
    /// What the mail of a code is for.
    pub enum CodePurpose("purpose") {
        VerifyEmail = "verify_email",
        ResetPassword = "reset_password",
        /// No code: somebody registered an address that has an account, and its owner is told.
        AlreadyRegistered = "already_registered",
        /// No code: who is signed in has changed the password, and its owner is told.
        PasswordChanged = "password_changed",
    }
}

impl CodePurpose {
    /// Whether there is a code in its mail.
    pub const fn has_code(self) -> bool {
        matches!(self, Self::VerifyEmail | Self::ResetPassword)
    }
}

/// A six-digit code. A secret: it has no `Debug`, so that it is not shown by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// A code out of `random`, which must come from the operating system. Of 2^64 numbers each of the million
    /// codes gets the same share but for one in ten trillion.
    pub fn draw(random: u64) -> Self {
        Self(format!("{:06}", random % 1_000_000))
    }

    /// Reads what somebody typed: spaces and dashes do not matter.
    ///
    /// # Errors
    /// If it is not six digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let typed = text.chars().filter(|c| !matches!(c, ' ' | '-'));
        let code: String = typed.take(DIGITS + 1).collect();
        match code.len() == DIGITS && code.bytes().all(|b| b.is_ascii_digit()) {
            true => Ok(Self(code)),
            false => Err(Invalid::new("code", format!("must be the {DIGITS} digits of the mail"))),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Under which name an address has its account: however its letters are written, it is one mailbox to most
/// servers, and two accounts for it would be a trap.
///
/// # Errors
/// If it is no address.
pub fn email_key(field: &str, address: &str) -> Result<String, Invalid> {
    let address = email::parse(field, address)?;
    let wire =
        email::on_the_wire(&address).ok_or_else(|| Invalid::new(field, "must be an e-mail address"))?;
    Ok(format!("{}@{}", wire.local.to_lowercase(), wire.domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_six_digits_however_they_are_typed() {
        for random in [0, 1, 999_999, 1_000_000, u64::MAX] {
            let code = Code::draw(random);
            let (head, tail) = code.as_str().split_at(3);
            assert!(Code::parse(&format!(" {head}-{tail} ")).is_ok_and(|parsed| parsed == code));
        }
        for bad in ["", "12345", "1234567", "12345a", "１２３４５６"] {
            assert!(Code::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_has_one_name() {
        let key = |address| email_key("email", address).ok();
        assert_eq!(key("Ann@Example.ORG"), key("ann@example.org"));
        assert_ne!(key("ann@example.org"), key("anna@example.org"));
        assert_eq!(key("ann"), None);
    }
}
