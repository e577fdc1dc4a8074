//! Mails in the customer's language, as the shop wants them.

use std::fs;

use serde_json::json;

use crate::{
    harness::{Setup, Shop, printed, run, test_dir},
    hosted_page::reminded,
};

/// Money, dates and plurals are written as where the customer reads them.
#[tokio::test]
async fn a_reminder_speaks_the_customers_language() {
    let shop = Shop::with_tea(100).await;
    for (locale, subject, sum, items, day) in [
        ("de-DE", "Bitte bezahlen Sie Ihre Bestellung", "25,00\u{a0}€", "2\u{a0}Artikel", "%-d. "),
        ("de-AT", "Bitte bezahlen Sie Ihre Bestellung", "€\u{a0}25,00", "2\u{a0}Artikel", "%-d. "),
        ("es", "Por favor, pague su pedido", "25,00\u{a0}€", "2\u{a0}artículos", "%-d de "),
        ("fr", "Veuillez payer votre commande", "25,00\u{a0}€", "2\u{a0}articles", "%-d "),
        ("zh-Hans-CN", "请为您的订单付款", "€25.00", "2\u{a0}件商品", "%Y年%-m月%-d日"),
        ("zh-CN", "请为您的订单付款", "€25.00", "2\u{a0}件商品", "%Y年%-m月%-d日"),
        ("en-US", "Please pay your order", "€25.00", "2\u{a0}items", "%B %-d, %Y"),
        ("pt-BR", "Please pay your order", "€25.00", "2\u{a0}items", "%-d %B %Y"),
    ] {
        let (id, mail) = reminded(&shop, locale).await;
        let due = shop.order(&id).await.payment_due_at.in_tz("Europe/Vienna").unwrap();
        let time = due.strftime("%:z (Europe/Vienna)").to_string();
        let day = due.strftime(day).to_string();
        assert!(mail.subject.starts_with(subject) && mail.subject.contains(&id), "{}", mail.subject);
        for part in [&mail.text, &mail.html] {
            for expected in [sum, items, &day, &time] {
                assert!(part.contains(expected), "{locale}, {expected}: {part}");
            }
        }
    }
    shop.close();
}

#[tokio::test]
async fn one_night_is_no_nights() {
    let shop = Shop::open().await;
    shop.rooms("room", 2).await;
    let mail = async |to: i64| {
        let mut body = shop.stay_body("room", 1, to);
        body["customer"]["locale"] = json!("de");
        let id = shop.try_place(&body).await.is(201).id;
        shop.cancel(&id).await.is(200);
        shop.mail(&id, "cancelled").await.text
    };
    let (one, two) = (mail(2).await, mail(3).await);
    assert!(one.contains(", 1\u{a0}Nacht, "), "{one}");
    assert!(two.contains(", 2\u{a0}Nächte, ") && two.contains(" bis "), "{two}");
    shop.close();
}

/// Who does not say gets the shop's language.
#[tokio::test]
async fn a_shop_has_a_language_a_look_and_templates() {
    let folder = test_dir();
    fs::write(folder.join("de.toml"), "[reminder]\nheadline = \"Psst!\"\n").unwrap();
    fs::write(folder.join("layout.txt"), "Liebe Grüße!\n{% block content %}{% endblock %}").unwrap();
    let env = vec![
        ("HOLDFAST_SHOP_LOCALE", "de-AT".to_owned()),
        ("HOLDFAST_SHOP_NAME", "Tee & Co".to_owned()),
        ("HOLDFAST_SHOP_LOGO_URL", "https://shop.test/logo.png?a&b".to_owned()),
        ("HOLDFAST_SHOP_COLOUR", "#AB12cd".to_owned()),
        ("HOLDFAST_SHOP_FOOTER", "Tee & Co GmbH, FN 1234".to_owned()),
        ("HOLDFAST_MAIL_REPLY_TO", "Frag uns <fragen@shop.test>".to_owned()),
        ("HOLDFAST_MAIL_TEMPLATES", folder.display().to_string()),
    ];
    let shop = Shop::with(Setup { env: env.clone(), ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.place(&[("tea", 2)]).await;
    shop.fast_forward(&id, "PT5H").await;
    let mail = shop.mail(&id, "reminder_1").await;
    assert!(mail.subject.starts_with("Psst!: ord_"), "{}", mail.subject);
    assert!(mail.text.starts_with("Liebe Grüße!") && mail.text.contains("€\u{a0}25,00"), "{}", mail.text);
    for part in ["Psst!", "Tee &amp; Co", "https://shop.test/logo.png?a&amp;b", "#ab12cd", "FN 1234"] {
        assert!(mail.html.contains(part), "{part}: {}", mail.html);
    }
    assert_eq!(mail.header("Reply-To"), Some("\"Frag uns\" <fragen@shop.test>"));

    let out = test_dir().join("preview");
    let arguments = ["mails", "preview", "--out", out.to_str().unwrap()];
    let (done, said, logged) = printed(&arguments, &env);
    assert!(done && said.contains("250 files"), "{said}{logged}");
    let written = |file: &str| fs::read_to_string(out.join(file)).unwrap();
    assert!(written("reminder.de.txt").contains("Psst!"));
    assert!(written("refunded.zh-Hans.html").contains("Tee &amp; Co"));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 250);
    shop.close();
}

/// A worker whose mails could not be written does not start, and says which file to mend.
#[tokio::test]
async fn a_broken_template_keeps_the_worker_from_starting() {
    let shop = Shop::without_worker().await;
    for (file, source, said) in [
        ("reminder.de.html", "<p>\n{{ headlin }}\n</p>", ", line 2: undefined value"),
        ("de.toml", "[reminder]\n\nheadline = \"{{ \"\n", ", line 3: "),
        ("fr.toml", "[remnder]\nheadline = \"x\"\n", ", line 2: there is no sentence `remnder.headline`"),
        ("remindr.html", "", ": it is no template of ours"),
        (
            "de.toml",
            "[paid]\nmessage = \"Danke, {{ name }}!\"\n",
            ", line 2: not every mail `paid` has `name`",
        ),
    ] {
        let folder = test_dir();
        fs::write(folder.join(file), source).unwrap();
        let at = folder.join(file).display().to_string();
        let env = [("HOLDFAST_MAIL_TEMPLATES", folder.display().to_string())];
        let mut worker = shop.start("worker", &env);
        assert!(!worker.ended().await.success(), "{file}");
        let log = worker.log();
        let last = log.lines().last().unwrap();
        let begin = format!("holdfast: HOLDFAST_MAIL_TEMPLATES: {at}");
        assert!(last.starts_with(&begin) && last.contains(said), "{log}");
        let (done, preview) = run("mails", &env);
        assert!(!done, "a command wants to be named: {preview}");
    }
    for (name, value) in [
        ("HOLDFAST_SHOP_COLOUR", "red"),
        ("HOLDFAST_SHOP_LOGO_URL", "http://shop.test/logo.png"),
        ("HOLDFAST_SHOP_LOCALE", "it"),
        ("HOLDFAST_PUBLIC_URL", "https://shop.test"), // and no secret
        ("HOLDFAST_PUBLIC_URL", "shop.test"),
        ("HOLDFAST_LINK_SECRET", "short"),
        ("HOLDFAST_LINKS_PAY", "https://shop.test/pay"),
        ("HOLDFAST_LINKS_PAY", "https://shop.test/pay/{order_id}/{token}"), // and no secret
        ("HOLDFAST_MAIL_REPLY_TO", "nobody"),
        ("HOLDFAST_DKIM_KEY", "sixteen bytes and more"),
    ] {
        let mut worker = shop.start("worker", &[(name, value.to_owned())]);
        assert!(!worker.ended().await.success(), "{name}={value}");
        let log = worker.log();
        assert!(log.lines().last().unwrap().starts_with("holdfast: HOLDFAST_"), "{log}");
        assert!(log.contains(name) && !log.contains("panicked"), "{log}");
    }
    shop.close();
}
