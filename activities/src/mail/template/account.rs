//! The mails of accounts.

use askama::Template;
use domain::{
    account::{Code as SixDigits, CodePurpose},
    customer::Customer,
};

use super::{Text, greeting};

/// What a mail about an account shows.
struct Account {
    headline: &'static str,
    greeting: String,
    message: &'static str,
    /// None in a mail that has none.
    code: Option<String>,
    warning: &'static str,
}

#[derive(Template)]
#[template(path = "account.txt", escape = "none")]
struct AccountPlain<'a>(&'a Account);

#[derive(Template)]
#[template(path = "account.html")]
struct AccountHtml<'a>(&'a Account);

/// As for check-in: the code stands in the text alone.
pub(in crate::mail) fn account(
    to: &Customer,
    purpose: CodePurpose,
    code: Option<&SixDigits>,
) -> Result<Text, askama::Error> {
    let (headline, message, warning) = match purpose {
        CodePurpose::VerifyEmail => (
            "Your verification code",
            "Enter this code to show that this address is yours. It is good for ten minutes.",
            "If you did not register, you need not do anything: without the code there is no account.",
        ),
        CodePurpose::ResetPassword => (
            "Your code for a new password",
            "Enter this code to choose a new password. It is good for ten minutes.",
            "If you did not ask for it, you need not do anything: your password stays as it is. Do not share \
             this code with anybody.",
        ),
        CodePurpose::AlreadyRegistered => (
            "You have an account already",
            "Somebody, perhaps you, has just registered this address. It has an account already, which stays \
             as it is: sign in with your password, or ask for a new one.",
            "If it was not you, you need not do anything.",
        ),
        CodePurpose::PasswordChanged => (
            "Your password was changed",
            "Your password was changed by somebody who knew it and was signed in, perhaps you. All \
             are signed out.",
            "If it was not you, ask for a new password at once.",
        ),
    };
    compose(to, headline, message, code.map(|code| code.as_str().to_owned()), warning)
}

/// Tells what a code was used for.
pub(in crate::mail) fn account_code_used(
    to: &Customer,
    purpose: CodePurpose,
    has_password: bool,
) -> Result<Text, askama::Error> {
    let (headline, message) = match purpose {
        CodePurpose::VerifyEmail if !has_password => (
            "Your account is verified",
            "Your address is verified. It was registered with several passwords, of which somebody else may \
             know one: ask for a code to choose a password, and sign in with that.",
        ),
        CodePurpose::VerifyEmail | CodePurpose::AlreadyRegistered => {
            ("Your account is verified", "Your address is verified, and you can sign in now.")
        }
        CodePurpose::ResetPassword | CodePurpose::PasswordChanged => (
            "Your password was changed",
            "Your password was changed with a code that we sent to this address, and you are signed out \
             everywhere.",
        ),
    };
    compose(to, headline, message, None, "If it was not you, ask for a new password at once.")
}

fn compose(
    to: &Customer,
    headline: &'static str,
    message: &'static str,
    code: Option<String>,
    warning: &'static str,
) -> Result<Text, askama::Error> {
    let facts = Account { headline, greeting: greeting(to), message, code, warning };
    Ok(Text {
        subject: headline.to_owned(),
        plain: AccountPlain(&facts).render()?,
        html: AccountHtml(&facts).render()?,
    })
}
