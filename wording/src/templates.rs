//! The templates, ours or a shop's own, and what is made of them.

mod check;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use domain::{Date, money::Money};
use minijinja::{Environment, Value, context};

use crate::{
    Language, Local, Shop,
    jinja::environment,
    mail::{Case, Frame, Kind, Mail},
    overrides,
    page::{self, Page},
    sentences::{self, Sentence},
};

/// The sentences that stand in each mail.
const FRAME: &str = "frame";
/// Pieces of which others are made.
const PART: &str = "part";

/// `(name, source)`: the frames.
const FRAMES: [(&str, &str); 8] = [
    ("layout.html", include_str!("../templates/layout.html")),
    ("layout.txt", include_str!("../templates/layout.txt")),
    ("order.html", include_str!("../templates/order.html")),
    ("order.txt", include_str!("../templates/order.txt")),
    ("stay.html", include_str!("../templates/stay.html")),
    ("stay.txt", include_str!("../templates/stay.txt")),
    ("account.html", include_str!("../templates/account.html")),
    ("account.txt", include_str!("../templates/account.txt")),
];

const fn words(language: Language) -> &'static str {
    match language {
        Language::English => include_str!("../words/mail/en.toml"),
        Language::German => include_str!("../words/mail/de.toml"),
        Language::Spanish => include_str!("../words/mail/es.toml"),
        Language::French => include_str!("../words/mail/fr.toml"),
        Language::SimplifiedChinese => include_str!("../words/mail/zh-Hans.toml"),
    }
}

/// A mail, ready to be addressed.
#[derive(Debug)]
pub struct Text {
    pub subject: String,
    pub plain: String,
    pub html: String,
}

/// What a mail to the shop's own people says.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    pub headline: &'a str,
    pub message: &'a str,
    pub warning: &'a str,
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub file: String,
    pub line: Option<usize>,
    pub why: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, why } = self;
        match line {
            Some(line) => write!(f, "{file}, line {line}: {why}"),
            None => write!(f, "{file}: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// Where a template of the environment stands.
#[derive(Debug, Clone)]
struct Origin {
    file: String,
    first_line: usize,
}

/// Sentences and frames, ready to be used.
pub struct Templates {
    env: Environment<'static>,
    /// By the language's tag and the section: which sentences there are.
    keys: BTreeMap<(&'static str, String), BTreeSet<String>>,
    /// By name in the environment.
    origins: BTreeMap<String, Origin>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Templates {
    /// Those that are compiled in.
    pub fn ours() -> Self {
        Self::load_ours().expect("a test reads each of them")
    }

    fn load_ours() -> Result<Self, Error> {
        let (env, keys, origins) = (environment(), BTreeMap::new(), BTreeMap::new());
        let mut templates = Self { env, keys, origins };
        for (name, source) in FRAMES.into_iter().chain(page::FRAMES) {
            templates.add(name, source, Origin { file: format!("templates/{name}"), first_line: 1 })?;
        }
        for language in Language::ALL {
            let tag = language.tag();
            for (file, source) in [("mail", words(language)), ("page", page::words(language))] {
                let file = format!("words/{file}/{tag}.toml");
                for sentence in sentences::read(&file, source)? {
                    templates.keys(tag, &sentence.section).insert(sentence.key.clone());
                    templates.add_sentence(tag, &file, sentence)?;
                }
            }
        }
        Ok(templates)
    }

    /// Those, but for what stands in a shop's own folder: `de.toml` takes the place of some sentences,
    /// `order.html` that of a frame, `reminder.html` and `reminder.de.txt` are frames of one mail, the latter
    /// in one language. Each is tried out with samples of each mail: one that has everything, and one that
    /// has what every such mail has.
    ///
    /// # Errors
    /// The first that is broken, or none of ours.
    pub fn with_folder(folder: &Path) -> Result<Self, Error> {
        let mut templates = Self::load_ours()?;
        for file in overrides::read(folder)? {
            match file.name.strip_suffix(".toml").and_then(language_of_tag) {
                Some(language) => templates.override_sentences(language, &file)?,
                None if is_frame(&file.name) => {
                    let origin = Origin { file: file.path.clone(), first_line: 1 };
                    templates.add(&file.name, &file.source, origin)?;
                }
                None => return Err(unknown_file(file.path)),
            }
        }
        templates.check()?;
        Ok(templates)
    }

    fn override_sentences(&mut self, language: Language, file: &overrides::Override) -> Result<(), Error> {
        let tag = language.tag();
        for sentence in sentences::read(&file.path, &file.source)? {
            let Sentence { section, key, line, .. } = &sentence;
            let is_known = !section.starts_with(page::SECTION)
                && self.keys.get(&(tag, section.clone())).is_some_and(|keys| keys.contains(key));
            if !is_known {
                let why = format!("there is no sentence `{section}.{key}`; docs/mails.md has them all");
                return Err(Error { file: file.path.clone(), line: Some(*line), why });
            }
            self.add_sentence(tag, &file.path, sentence)?;
        }
        Ok(())
    }

    fn keys(&mut self, tag: &'static str, section: &str) -> &mut BTreeSet<String> {
        self.keys.entry((tag, section.to_owned())).or_default()
    }

    fn add_sentence(&mut self, tag: &str, file: &str, sentence: Sentence) -> Result<(), Error> {
        let Sentence { section, key, template, line } = sentence;
        let origin = Origin { file: file.to_owned(), first_line: line };
        self.add(&name_of(tag, &section, &key), &template, origin)
    }

    fn add(&mut self, name: &str, source: &str, origin: Origin) -> Result<(), Error> {
        self.origins.insert(name.to_owned(), origin);
        let added = self.env.add_template_owned(name.to_owned(), source.to_owned());
        added.map_err(|error| self.explain(name, &error))
    }

    /// One of each mail, as it could be.
    ///
    /// # Errors
    /// Of a shop's own sentences.
    pub fn samples(&self, local: &Local) -> Result<Vec<Mail>, Error> {
        Case::ALL.into_iter().map(|case| Mail::sample(case, self, local)).collect()
    }

    /// Writes a mail.
    ///
    /// # Errors
    /// Of a shop's own templates, where no sample showed it.
    pub fn mail(&self, mail: &Mail, local: &Local, shop: &Shop) -> Result<Text, Error> {
        let facts = context! { lang => local.tag(), shop => shop.facts() };
        let facts = context! { ..facts, ..mail.facts() };
        let said = self.section(local, mail.case().section(), &facts)?;
        let frame = |format: &str| self.frame(mail.kind(), local, format);
        self.text(said, facts, local, [frame("txt"), frame("html")])
    }

    /// Writes a mail to one of the shop's own people, in English.
    ///
    /// # Errors
    /// As for a mail.
    pub fn notice(&self, notice: Notice<'_>, shop: &Shop) -> Result<Text, Error> {
        let local = Local::of(None);
        let none = || None::<String>;
        let facts = context! { name => none(), order => none(), code => none(), stop_url => none() };
        let facts = context! { lang => local.tag(), shop => shop.facts(), ..facts };
        let Notice { headline, message, warning } = notice;
        let said = [("headline", headline), ("message", message), ("warning", warning)];
        let said = said.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        self.text(said, facts, &local, ["txt", "html"].map(|format| format!("account.{format}")))
    }

    fn text(
        &self,
        said: BTreeMap<String, String>,
        facts: Value,
        local: &Local,
        [plain, html]: [String; 2],
    ) -> Result<Text, Error> {
        let facts = context! { ..Value::from(said), ..facts };
        let words = self.section(local, FRAME, &facts)?;
        let subject = words.get("subject").cloned().unwrap_or_default();
        let context = context! { words => Value::from(words), ..facts };
        Ok(Text {
            subject: subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
            plain: self.render(&plain, &context)?,
            html: self.render(&html, &context)?,
        })
    }

    /// The frame of one mail in one language, or of the mail, or of its like.
    fn frame(&self, kind: Kind, local: &Local, format: &str) -> String {
        let (name, tag) = (kind.name(), local.language().tag());
        let own = [format!("{name}.{tag}.{format}"), format!("{name}.{format}")];
        let own = own.into_iter().find(|name| self.origins.contains_key(name));
        own.unwrap_or_else(|| format!("{}.{format}", kind.frame().name()))
    }

    /// A page's HTML. `reply_to`: whom its customer may ask.
    ///
    /// # Errors
    /// None, but for what its tests do not see.
    pub fn page(
        &self,
        page: &Page,
        local: &Local,
        shop: &Shop,
        reply_to: Option<&str>,
    ) -> Result<String, Error> {
        let css = Value::from_safe_string(page::css(shop));
        let facts = context! { lang => local.tag(), shop => shop.facts(), css, reply_to };
        let contact = reply_to.map(|_| self.section(local, page::CONTACT, &facts)).transpose()?;
        let questions = contact.and_then(|said| said.into_values().next());
        let facts = context! { ..context! { questions }, ..facts, ..page.facts(local) };
        let said = self.section(local, &page.section(), &facts)?;
        let words = self.section(local, page::SECTION, &facts)?;
        self.render(
            page.template(),
            &context! { said => Value::from(said), words => Value::from(words), ..facts },
        )
    }

    /// Rooms of a product, and their nights.
    ///
    /// # Errors
    /// Of a shop's own sentence.
    pub fn stay(&self, local: &Local, product: &str, (from, to): (Date, Date)) -> Result<String, Error> {
        let nights = from.until(to).map_or(0, |span| i64::from(span.get_days()));
        let facts = context! { product, nights, from => local.day(from), to => local.day(to) };
        self.part(local, "stay", facts)
    }

    /// Some sums, as a sentence has them.
    ///
    /// # Errors
    /// Of a shop's own sentence.
    pub fn sums(&self, local: &Local, sums: &[Money]) -> Result<String, Error> {
        let sums: Vec<String> = sums.iter().map(|money| local.money(*money)).collect();
        self.part(local, "sums", context! { sums })
    }

    fn part(&self, local: &Local, key: &str, facts: Value) -> Result<String, Error> {
        let facts = context! { lang => local.tag(), ..facts };
        self.render(&name_of(local.language().tag(), PART, key), &facts)
    }

    /// Every sentence of a section.
    fn section(
        &self,
        local: &Local,
        section: &str,
        facts: &Value,
    ) -> Result<BTreeMap<String, String>, Error> {
        let tag = local.language().tag();
        let keys = self.keys.get(&(tag, section.to_owned())).into_iter().flatten();
        keys.map(|key| Ok((key.clone(), self.render(&name_of(tag, section, key), facts)?))).collect()
    }

    fn render(&self, name: &str, facts: &Value) -> Result<String, Error> {
        let rendered = self.env.get_template(name).and_then(|template| template.render(facts));
        rendered.map_err(|error| self.explain(name, &error))
    }

    /// Where it is, as far as the cause that lies deepest says it.
    fn explain(&self, name: &str, error: &minijinja::Error) -> Error {
        let mut deepest = error;
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            if let Some(cause) = cause.downcast_ref::<minijinja::Error>() {
                deepest = cause;
            }
            source = cause.source();
        }
        let name = deepest.name().unwrap_or(name);
        let why = match deepest.detail() {
            Some(detail) => format!("{}: {detail}", deepest.kind()),
            None => deepest.kind().to_string(),
        };
        match self.origins.get(name) {
            Some(Origin { file, first_line }) => Error {
                file: file.clone(),
                line: deepest.line().map(|line| first_line + line.saturating_sub(1)),
                why,
            },
            None => Error { file: name.to_owned(), line: deepest.line(), why },
        }
    }
}

/// Of a sentence in the environment.
fn name_of(tag: &str, section: &str, key: &str) -> String {
    format!("{tag}.toml/{section}.{key}")
}

fn language_of_tag(tag: &str) -> Option<Language> {
    Language::ALL.into_iter().find(|language| language.tag() == tag)
}

/// Whether a file of this name is looked at.
fn is_frame(name: &str) -> bool {
    let Some((name, "html" | "txt")) = name.rsplit_once('.') else { return false };
    let (name, tag) = name.split_once('.').map_or((name, None), |(name, tag)| (name, Some(tag)));
    let is_shared = name == "layout" || Frame::ALL.iter().any(|frame| frame.name() == name);
    let is_mail = Kind::ALL.iter().any(|kind| kind.name() == name);
    match tag {
        None => is_shared || is_mail,
        Some(tag) => is_mail && language_of_tag(tag).is_some(),
    }
}

fn unknown_file(file: String) -> Error {
    let tags = Language::ALL.map(Language::tag).join(", ");
    let kinds = Kind::ALL.map(Kind::name).join(", ");
    let frames = Frame::ALL.map(Frame::name).join(", ");
    let why = format!(
        "it is no template of ours: sentences are in {{language}}.toml ({tags}), frames in layout, {frames}, \
         or one of {kinds}, each with .html or .txt, and those of a mail with .{{language}} before that"
    );
    Error { file, line: None, why }
}

#[cfg(test)]
mod tests;
