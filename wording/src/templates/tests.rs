use std::{fs, path::PathBuf};

use super::*;

fn locals() -> impl Iterator<Item = Local> {
    Language::ALL.into_iter().map(|language| Local::of(Some(language.tag())))
}

#[test]
fn every_sentence_is_there_in_every_language() {
    let templates = Templates::ours();
    let of = |language: Language| {
        let all = templates.keys.iter().filter(|((tag, _), _)| *tag == language.tag());
        all.map(|((_, section), keys)| (section.clone(), keys.clone())).collect::<Vec<_>>()
    };
    let english = of(Language::English);
    for language in Language::ALL {
        assert_eq!(of(language), english, "{}", language.tag());
    }
    let sections: BTreeSet<&str> = english.iter().map(|(section, _)| section.as_str()).collect();
    for case in Case::ALL {
        assert!(sections.contains(case.section()), "{}", case.section());
    }
}

#[test]
fn every_mail_can_be_written_in_every_language() {
    let templates = Templates::ours();
    for local in locals() {
        let bare = Case::ALL.map(|case| Mail::bare(case, &templates, &local).expect("a bare sample"));
        for mail in templates.samples(&local).expect("samples").into_iter().chain(bare) {
            let text = templates.mail(&mail, &local, &Shop::sample()).expect("a mail");
            let case = mail.case().section();
            for part in [&text.subject, &text.plain, &text.html] {
                assert!(!part.contains("{{") && !part.contains("{%"), "{case}: {part}");
                assert!(!part.contains("undefined"), "{case}: {part}");
            }
            assert!(text.html.contains("Tea &amp; Rooms") && text.plain.contains("Tea & Rooms"), "{case}");
            assert!(!text.html.contains("<fine>"), "{case}: {}", text.html);
            assert!(text.html.contains(&format!("<html lang=\"{}\">", local.tag())), "{case}");
        }
    }
}

/// A folder of its own, gone with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("wording-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for (name, source) in files {
            fs::write(path.join(name), source).unwrap();
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // it is in the folder for what is temporary
    }
}

fn reminder(templates: &Templates, tag: &str) -> Text {
    let local = Local::of(Some(tag));
    let mail = Mail::sample(Case::Reminder, templates, &local).expect("a sample");
    templates.mail(&mail, &local, &Shop::default()).expect("a mail")
}

#[test]
fn a_shop_has_its_own_words_and_frames() {
    let folder = Folder::new(
        "own",
        &[
            ("de.toml", "[reminder]\nheadline = \"Psst, {{ name or 'Sie' }}!\"\n"),
            ("reminder.de.txt", "{{ headline }} {{ total }} {{ items | count(other='Dinge') }}\n"),
            ("layout.html", "<b>{{ headline }}</b>{% block content %}{% endblock %}"),
            (".gitkeep", "{{"),
        ],
    );
    let templates = Templates::with_folder(&folder.0).expect("it is whole");
    let german = reminder(&templates, "de");
    assert!(german.subject.starts_with("Psst, Ann Example!: ord_"), "{}", german.subject);
    assert_eq!(german.plain, "Psst, Ann Example! 1.235,50\u{a0}€ 3\u{a0}Dinge");
    assert!(german.html.starts_with("<b>Psst, Ann Example!</b>"), "{}", german.html);
    let english = reminder(&templates, "en");
    assert!(english.plain.starts_with("Hello Ann Example,"), "{}", english.plain);
    assert!(english.html.starts_with("<b>Please pay your order</b>"), "{}", english.html);
}

/// What a customer need not have, or a mail need not tell, is missing in somebody's mail.
#[test]
fn what_a_mail_may_lack_must_be_asked_for() {
    for (i, (file, source, line, why)) in [
        ("de.toml", "[paid]\nmessage = \"Danke, {{ name }}!\"\n", 2, "mail `paid` has `name`"),
        ("de.toml", "[reminder]\nmessage = \"{{ items }}: {{ pay_url }}\"\n", 2, "`reminder` has `pay_url`"),
        ("fr.toml", "[check_in]\nuse = \"{{ name }}\"\n", 2, "mail `check_in` has `name`"),
        ("en.toml", "[verify_email]\nmessage = \"{{ name }}\"\n", 2, "mail `verify_email` has `name`"),
        ("reminder.txt", "{{ came }}\n", 1, "mail `reminder` has `came`"),
        ("order.txt", "{{ total }}\n{{ refunded }}\n", 2, "mail `reminder` has `refunded`"),
        ("completed.html", "\n\n{{ gone }}", 3, "mail `completed` has `gone`"),
        ("account.txt", "{{ code }}", 1, "mail `already_registered` has `code`"),
        ("layout.txt", "{{ headline }}\n{{ shop.footer }}", 2, "mail `reminder` has `shop.footer`"),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new(&format!("lacking{i}"), &[(file, source)]);
        let error = Templates::with_folder(&folder.0).expect_err(source);
        let at = folder.0.join(file).display().to_string();
        assert_eq!((error.line, &error.file), (Some(line), &at), "{source}: {error}");
        assert!(error.why.contains(why), "{source}: {error}");
    }
    // What each mail of its kind has need not be asked for.
    let folder = Folder::new(
        "whole",
        &[
            ("reminder.txt", "{{ due }} {{ unpaid }} {% if came %}{{ came }}{% endif %}"),
            ("de.toml", "[refunded]\nmessage = \"{{ refunded }}\"\n[undecided]\nmessage = \"{{ came }}\"\n"),
            ("check_in.html", "{{ code }} {% if free %}0{% endif %} {% if name %}{{ name }}{% endif %}"),
        ],
    );
    assert!(Templates::with_folder(&folder.0).is_ok());
}

#[test]
fn what_is_broken_is_named_with_its_line() {
    for (i, (file, source, line, why)) in [
        ("de.toml", "[reminder]\nheadline = \"a\"\nmessage = \"{{ totl }}\"\n", Some(3), "undefined"),
        ("de.toml", "[reminder]\nmessage = \"\"\"\na\nb {% if %}\n\"\"\"\n", Some(4), "syntax"),
        ("de.toml", "[reminder]\nmesage = \"a\"\n", Some(2), "no sentence `reminder.mesage`"),
        ("de.toml", "[page]\ntotal = \"a\"\n", Some(2), "no sentence `page.total`"),
        ("de.toml", "[reminder\n", Some(1), ""),
        ("de.toml", "[reminder]\nheadline = 7\n", Some(2), "no text"),
        ("order.html", "<p>\n{{ messag }}\n</p>", Some(2), "undefined"),
        ("order.html", "<p>\n{{ due }}\n</p>", Some(2), "mail `paid` has `due`"),
        ("order.txt", "{% extends 'nowhere.txt' %}", Some(1), "nowhere.txt"),
        ("reminder.it.html", "", None, "no template of ours"),
        ("it.toml", "", None, "no template of ours"),
        ("readme.md", "", None, "no template of ours"),
        ("page_order.html", "", None, "no template of ours"),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new(&format!("broken{i}"), &[(file, source)]);
        let error = Templates::with_folder(&folder.0).expect_err(source);
        assert_eq!((error.line, error.file), (line, folder.0.join(file).display().to_string()), "{source}");
        assert!(error.why.contains(why), "{source}: {}", error.why);
    }
    let nowhere = Templates::with_folder(Path::new("/nowhere/at/all")).expect_err("there is no such folder");
    assert_eq!(nowhere.file, "/nowhere/at/all");
}
