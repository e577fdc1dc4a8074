//! How the shop looks in what we send for it, and whom a customer answers.

use minijinja::{Value, context};
use url::Url;

/// Of what is set by hand. A footer has an address, a register's number, and a few sentences.
const MAX_NAME: usize = 100;
const MAX_FOOTER: usize = 2000;
const MAX_URL: usize = 500;
const COLOUR: &str = "#1f5f4a";

/// The shop, as its customers know it. By default it has no name, and a colour of ours.
#[derive(Debug, Clone)]
pub struct Shop {
    pub name: Option<String>,
    pub logo_url: Option<String>,
    colour: String,
    pub footer: Option<String>,
    /// What customers read who do not say which language is theirs.
    pub locale: Option<String>,
}

impl Default for Shop {
    fn default() -> Self {
        Self { name: None, logo_url: None, colour: COLOUR.to_owned(), footer: None, locale: None }
    }
}

impl Shop {
    /// # Errors
    /// What a name looks like.
    pub fn with_name(self, name: &str) -> Result<Self, &'static str> {
        let is_line = name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
        let name = is_line.then(|| name.to_owned());
        Ok(Self { name: Some(name.ok_or("must be one line of at most 100 characters")?), ..self })
    }

    /// # Errors
    /// What an address of a picture looks like.
    pub fn with_logo(self, url: &str) -> Result<Self, &'static str> {
        let parsed = Url::parse(url).ok().filter(|it| it.scheme() == "https" && url.len() <= MAX_URL);
        let url = parsed.ok_or("must look like https://shop.example/logo.png: mails are read everywhere")?;
        Ok(Self { logo_url: Some(url.into()), ..self })
    }

    /// # Errors
    /// What a colour looks like.
    pub fn with_colour(self, colour: &str) -> Result<Self, &'static str> {
        match rgb(colour) {
            Some(_) => Ok(Self { colour: colour.to_ascii_lowercase(), ..self }),
            None => Err("must look like #1f5f4a"),
        }
    }

    /// # Errors
    /// How long it may be.
    pub fn with_footer(self, footer: &str) -> Result<Self, &'static str> {
        let is_text = !footer.chars().any(|c| c.is_control() && c != '\n');
        match footer.chars().count() <= MAX_FOOTER && is_text {
            true => Ok(Self { footer: Some(footer.to_owned()), ..self }),
            false => Err("must be text of at most 2000 characters"),
        }
    }

    /// `#rrggbb`.
    pub fn colour(&self) -> &str {
        &self.colour
    }

    /// What can be read on its colour: black or white, by relative luminance (WCAG 2.2).
    pub fn ink(&self) -> &'static str {
        let linear = |channel: u8| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        let [r, g, b] = rgb(&self.colour).unwrap_or_default().map(linear);
        if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 { "#000000" } else { "#ffffff" }
    }

    /// One that has everything, to show and to try templates.
    pub fn sample() -> Self {
        Self {
            name: Some("Tea & Rooms".to_owned()),
            logo_url: Some("https://shop.example/logo.png".to_owned()),
            footer: Some("Tea & Rooms Ltd, 1 Example Street, Example Town".to_owned()),
            ..Self::default()
        }
    }

    /// The same with one more of what another has, by the name that templates know it by.
    pub(crate) fn filled_from(&self, other: &Self) -> [(&'static str, Self); 3] {
        let Self { name, logo_url, footer, .. } = other.clone();
        [
            ("shop.name", Self { name, ..self.clone() }),
            ("shop.logo_url", Self { logo_url, ..self.clone() }),
            ("shop.footer", Self { footer, ..self.clone() }),
        ]
    }

    /// As templates see it.
    pub(crate) fn facts(&self) -> Value {
        let Self { name, logo_url, colour, footer, locale: _ } = self;
        context! { name, logo_url, colour, footer, ink => self.ink() }
    }
}

fn rgb(colour: &str) -> Option<[u8; 3]> {
    let digits = colour.strip_prefix('#').filter(|it| it.len() == 6 && it.is_ascii())?;
    let channel = |i: usize| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok();
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| Some([channel(0)?, channel(1)?, channel(2)?]))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shop_is_described_by_what_can_stand_in_a_mail() {
        for bad in ["red", "#fff", "#12345", "#+12345", "#1234567", "#12345g", "#12345\u{e9}"] {
            assert!(Shop::default().with_colour(bad).is_err(), "{bad}");
        }
        for bad in ["logo.png", "http://shop.example/logo.png", "data:image/png,x", "javascript:alert(1)"] {
            assert!(Shop::default().with_logo(bad).is_err(), "{bad}");
        }
        assert!(Shop::default().with_name("Tea\nBcc: x").is_err());
        assert!(Shop::default().with_footer("Tea Ltd\nRegister 7").is_ok());
    }

    #[test]
    fn what_stands_on_a_colour_can_be_read() {
        let ink = |colour| Shop::default().with_colour(colour).expect("a colour").ink();
        assert_eq!([ink("#000000"), ink("#1F5F4A"), ink("#0000ff")], ["#ffffff"; 3]);
        assert_eq!([ink("#ffffff"), ink("#ffcc00"), ink("#00ff00")], ["#000000"; 3]);
    }
}
