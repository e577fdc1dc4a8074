//! Templates are tried out before the first customer: with all that a mail can have, and with as little.

use super::{Templates, Text};
use crate::{
    Error, Language, Local, Shop,
    mail::{Case, Mail},
};

/// What some mail has, one of these has.
const HAVE_MOST: [Case; 3] = [Case::Reminder, Case::CompletedRest, Case::VerifyEmail];

impl Templates {
    /// Writes samples of each mail in each language. What only some mails have must be asked for: a customer
    /// without a name gets a mail, too.
    pub(super) fn check(&self) -> Result<(), Error> {
        let (shop, bare_shop) = (Shop::sample(), Shop::default());
        for language in Language::ALL {
            let local = Local::of(Some(language.tag()));
            for case in Case::ALL {
                let (mail, bare) = (Mail::sample(case, self, &local)?, Mail::bare(case, self, &local)?);
                let write = |mail: &Mail, shop: &Shop| self.mail(mail, &local, shop);
                if let Err(error) = write(&mail, &shop) {
                    let others = HAVE_MOST.map(|other| Mail::sample(other, self, &local));
                    let filled = others.iter().flatten().flat_map(|other| mail.filled_from(other));
                    let tried = filled.map(|(name, filled)| (name, write(&filled, &shop)));
                    return Err(missing(error, case, tried));
                }
                if let Err(error) = write(&bare, &shop) {
                    let filled = bare.filled_from(&mail);
                    let tried = filled.map(|(name, filled)| (name, write(&filled, &shop)));
                    return Err(missing(error, case, tried));
                }
                if let Err(error) = write(&mail, &bare_shop) {
                    let filled = bare_shop.filled_from(&shop).into_iter();
                    let tried = filled.map(|(name, filled)| (name.to_owned(), write(&mail, &filled)));
                    return Err(missing(error, case, tried));
                }
            }
        }
        Ok(())
    }
}

/// What a template lacks in a mail: with that one thing it comes further. Nothing may help, as with a name
/// that no mail has.
fn missing(
    error: Error,
    case: Case,
    mut tried: impl Iterator<Item = (String, Result<Text, Error>)>,
) -> Error {
    let found = tried.find(|(_, written)| written.as_ref().err() != Some(&error));
    let case = case.section();
    let why = match found {
        Some((name, _)) => format!("not every mail `{case}` has `{name}`: ask for it by {{% if {name} %}}"),
        None => format!("{}, in the mail `{case}`", error.why),
    };
    Error { why, ..error }
}
