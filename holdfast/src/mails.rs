//! Mails and pages for customers, as they are set up: how the shop looks (`HOLDFAST_SHOP_NAME`, `_LOGO_URL`,
//! `_COLOUR`, `_FOOTER`, `_LOCALE`), its own templates (`HOLDFAST_MAIL_TEMPLATES`), whom a customer answers
//! (`HOLDFAST_MAIL_REPLY_TO`), where links lead (`HOLDFAST_PUBLIC_URL`, `HOLDFAST_LINKS_PAY`,
//! `HOLDFAST_LINK_SECRET`), and who signs (`HOLDFAST_DKIM_KEY`, `_SELECTOR`, `_DOMAIN`). And `holdfast
//! mails`.

use std::{fs, path::PathBuf};

use activities::mail::{DkimConfig, Links, MailerConfig};
use anyhow::Context as _;
use clap::Subcommand;
use identity::{LinkKeys, Secret};
use url::Url;
use wording::{Language, Local, Shop, Templates};

use crate::config::{optional, required, secret, secrets};

const LINK_SECRET: &str = "HOLDFAST_LINK_SECRET";
const BOUNCE_SECRET: &str = "HOLDFAST_BOUNCE_WEBHOOK_SECRET";
const PUBLIC_URL: &str = "HOLDFAST_PUBLIC_URL";

/// What `dev` knows by itself, where nothing is set.
#[derive(Default)]
pub struct Defaults<'a> {
    pub public_url: Option<&'a str>,
    pub link_secret: Option<&'a str>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Write every mail, in every language, into files: as samples, with your shop's looks and templates
    Preview {
        /// Where to write them
        #[arg(long, default_value = "mails")]
        out: PathBuf,
    },
}

pub fn execute(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Preview { out } => preview(out.clone()),
    }
}

/// Prints where the files are.
#[expect(clippy::print_stdout, reason = "it is this command's output")]
fn preview(out: PathBuf) -> anyhow::Result<()> {
    let (templates, shop) = (templates()?, shop()?);
    fs::create_dir_all(&out).with_context(|| format!("cannot make the folder {} (--out)", out.display()))?;
    let mut written = 0;
    for language in Language::ALL {
        let local = Local::of(Some(language.tag()));
        for mail in templates.samples(&local)? {
            let text = templates.mail(&mail, &local, &shop)?;
            let plain = format!("{}\n\n{}\n", text.subject, text.plain);
            for (format, content) in [("txt", plain), ("html", text.html)] {
                let file = out.join(format!("{}.{}.{format}", mail.case().section(), language.tag()));
                fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
                written += 1;
            }
        }
    }
    println!("{written} files in {}", out.display());
    Ok(())
}

/// Changes how a shop looks by the text of a setting, or says what is wrong with that.
type SetLook = fn(Shop, &str) -> Result<Shop, &'static str>;

/// How the shop looks.
pub fn shop() -> anyhow::Result<Shop> {
    let mut shop = Shop::default();
    shop.locale = optional("HOLDFAST_SHOP_LOCALE");
    let set: [(&str, SetLook); 4] = [
        ("HOLDFAST_SHOP_NAME", Shop::with_name),
        ("HOLDFAST_SHOP_LOGO_URL", Shop::with_logo),
        ("HOLDFAST_SHOP_COLOUR", Shop::with_colour),
        ("HOLDFAST_SHOP_FOOTER", Shop::with_footer),
    ];
    for (name, set) in set {
        if let Some(value) = optional(name) {
            shop = set(shop, &value).map_err(|why| anyhow::anyhow!("{name} {why}"))?;
        }
    }
    let is_spoken =
        |tag: &String| Local::of(Some(tag)).language() != Language::English || tag.starts_with("en");
    anyhow::ensure!(
        shop.locale.as_ref().is_none_or(is_spoken),
        "HOLDFAST_SHOP_LOCALE must be a tag of {}, such as de-AT",
        Language::ALL.map(Language::tag).join(", ")
    );
    Ok(shop)
}

/// Our templates, with the shop's own in their places.
fn templates() -> anyhow::Result<Templates> {
    match folder() {
        Some(folder) => Templates::with_folder(&folder).context("HOLDFAST_MAIL_TEMPLATES"),
        None => Ok(Templates::ours()),
    }
}

fn folder() -> Option<PathBuf> {
    optional("HOLDFAST_MAIL_TEMPLATES").map(PathBuf::from)
}

/// For a process that sends mails: `HOLDFAST_SMTP_URL`, `HOLDFAST_MAIL_FROM`, and all of the above.
pub fn mailer() -> anyhow::Result<MailerConfig> {
    let smtp_url = required("HOLDFAST_SMTP_URL", "smtp://host:port")?;
    mailer_to(smtp_url, &Defaults::default())
}

pub fn mailer_to(smtp_url: String, defaults: &Defaults<'_>) -> anyhow::Result<MailerConfig> {
    Ok(MailerConfig {
        smtp_url,
        from: crate::config::mail_from(),
        reply_to: optional("HOLDFAST_MAIL_REPLY_TO"),
        shop: shop()?,
        templates: folder(),
        links: links(defaults)?,
        dkim: dkim()?,
    })
}

/// Where links in mails lead.
fn links(defaults: &Defaults<'_>) -> anyhow::Result<Links> {
    let (keys, url) = (link_keys(defaults)?, public_url(defaults)?);
    Links::new(keys, url, optional("HOLDFAST_LINKS_PAY")).map_err(anyhow::Error::msg)
}

fn link_keys(defaults: &Defaults<'_>) -> anyhow::Result<Option<LinkKeys>> {
    let texts = secrets(LINK_SECRET)?.or(defaults.link_secret.map(|secret| vec![secret.to_owned()]));
    let Some(texts) = texts else { return Ok(None) };
    let parse = |text: &String| Secret::parse(text).map_err(|why| anyhow::anyhow!("{LINK_SECRET} {why}"));
    let parsed = texts.iter().map(parse).collect::<anyhow::Result<Vec<Secret>>>()?;
    Ok(Some(LinkKeys::derive(&parsed)?))
}

/// As customers reach the API.
fn public_url(defaults: &Defaults<'_>) -> anyhow::Result<Option<Url>> {
    let Some(text) = optional(PUBLIC_URL).or(defaults.public_url.map(str::to_owned)) else {
        return Ok(None);
    };
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "https" | "http") && url.query().is_none() && url.fragment().is_none()
    });
    url.map(Some).with_context(|| format!("{PUBLIC_URL} must look like https://orders.shop.example"))
}

fn dkim() -> anyhow::Result<Option<DkimConfig>> {
    let Some(key) = secret("HOLDFAST_DKIM_KEY")? else { return Ok(None) };
    let selector = optional("HOLDFAST_DKIM_SELECTOR")
        .context("HOLDFAST_DKIM_SELECTOR is not set, and HOLDFAST_DKIM_KEY needs it")?;
    Ok(Some(DkimConfig { key, selector, domain: optional("HOLDFAST_DKIM_DOMAIN") }))
}

/// Takes reports of mails that came back (`HOLDFAST_BOUNCE_WEBHOOK_SECRET`), if it is set.
pub fn with_bounces(app: api::App) -> anyhow::Result<api::App> {
    let Some(text) = secret(BOUNCE_SECRET)? else { return Ok(app) };
    let secret = web::standard_webhooks::Secret::parse(&text);
    Ok(app.with_bounces(secret.map_err(|why| anyhow::anyhow!("{BOUNCE_SECRET} {why}"))?))
}

/// Serves the pages that mails lead to, if it is said where customers reach them.
pub fn with_hosted_pages(app: api::App, defaults: &Defaults<'_>) -> anyhow::Result<api::App> {
    let Some(url) = public_url(defaults)? else { return Ok(app) };
    let keys = link_keys(defaults)?
        .with_context(|| format!("{LINK_SECRET} is not set, and {PUBLIC_URL} needs it"))?;
    let reply_to = optional("HOLDFAST_MAIL_REPLY_TO");
    let pages = api::HostedPages::new(keys, &url, shop()?, reply_to);
    Ok(app.with_hosted_pages(pages))
}
