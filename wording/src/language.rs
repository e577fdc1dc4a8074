//! The languages that we speak.

use icu_locale_core::{LanguageIdentifier, Locale, subtags::Script};

/// A language that every sentence is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    English,
    German,
    Spanish,
    French,
    SimplifiedChinese,
}

impl Language {
    pub const ALL: [Self; 5] =
        [Self::English, Self::German, Self::Spanish, Self::French, Self::SimplifiedChinese];

    /// As BCP 47 writes it; also in the names of files, and in `lang` of HTML.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::Spanish => "es",
            Self::French => "fr",
            Self::SimplifiedChinese => "zh-Hans",
        }
    }

    /// None: we do not speak it. Who reads Chinese in traditional characters is one of those.
    pub(crate) fn of(locale: &LanguageIdentifier) -> Option<Self> {
        let is_traditional = || match locale.script {
            Some(script) => script.as_str() != "Hans",
            None => locale.region.is_some_and(|region| ["TW", "HK", "MO"].contains(&region.as_str())),
        };
        match locale.language.as_str() {
            "en" => Some(Self::English),
            "de" => Some(Self::German),
            "es" => Some(Self::Spanish),
            "fr" => Some(Self::French),
            "zh" if !is_traditional() => Some(Self::SimplifiedChinese),
            _ => None,
        }
    }

    /// The sentences are in this language, so what stands within them is written as it is usual there: by the
    /// customer's region, if that is one of the language's.
    pub(crate) fn locale(self, asked: &LanguageIdentifier) -> Locale {
        let mut locale = LanguageIdentifier { variants: Default::default(), ..asked.clone() };
        if self == Self::SimplifiedChinese {
            locale.script = Script::try_from_str("Hans").ok();
        }
        locale.into()
    }
}
