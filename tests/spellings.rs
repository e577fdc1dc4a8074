//! Search: what is spelt otherwise and means the same is found, and what means something else is not.

use serde_json::json;
use sqlx::Executor as _;

use crate::harness::{Shop, documents::Product, encoded};

/// The SKUs that a search finds, in their order.
async fn found(shop: &Shop, q: &str) -> Vec<String> {
    let page = shop.api.list::<Product>(&format!("/v1/products?limit=100&q={}", encoded(q))).await;
    page.data.into_iter().map(|product| product.sku).collect()
}

async fn put(shop: &Shop, sku: &str, name: &str) {
    let body = json!({"name": name, "unit_price": 1, "currency": "EUR"});
    shop.put_product(sku, &body).await.is(201);
}

#[tokio::test]
async fn spellings_of_the_same_word_find_each_other() {
    let shop = Shop::open().await;
    let spellings: [(&str, &[&str]); 16] = [
        ("the", &["th\u{e9}", "the\u{301}", "THE", "ＴＨÉ"]),
        ("grun", &["Grün", "gru\u{308}n", "grun", "ＧＲＵＮ"]),
        ("pate", &["pâté", "pate", "PA\u{302}TE\u{301}"]),
        ("lodz", &["Łódź", "lodz", "ŁO\u{301}DZ"]),
        ("smor", &["smørrebrød", "Smorrebrod", "SMØRREBRØD"]),
        ("strasse", &["Straße", "STRASSE", "STRAẞE"]),
        ("oeuvre", &["œuvre", "oeuvre", "ŒUVRE"]),
        ("danang", &["Đà Nẵng", "da nang"]),
        ("thing", &["Þingvellir", "thingvellir"]),
        ("isirgan", &["ısırgan", "isirgan", "ISIRGAN", "İSİRGAN"]),
        ("elka", &["ёлка", "елка", "ЁЛКА"]),
        ("odos", &["οδός", "ΟΔΟΣ", "οδοσ"]),
        ("kaffee", &["Kaffee", "kaﬀee"]),
        ("garasu", &["ガラス", "ｶﾞﾗｽ", "カ\u{3099}ラス"]),
        ("hangul", &["녹차", "\u{1102}\u{1169}\u{11a8}\u{110e}\u{1161}"]),
        ("salam", &["سَلَام", "سلام"]),
    ];
    // Each by its first spelling, under a SKU that says nothing.
    for (number, (_, spelt)) in spellings.iter().enumerate() {
        put(&shop, &format!("p-{number}"), spelt[0]).await;
    }
    let all = async |when: &str| {
        for (number, (what, spelt)) in spellings.iter().enumerate() {
            for q in *spelt {
                assert_eq!(found(&shop, q).await, [format!("p-{number}")], "{what}: {q} {when}");
            }
        }
    };
    all("as they were put").await;

    // Words of an older version, which ran when these were put or still runs beside this one, are made anew.
    let mut sql = shop.sql().await;
    let old = "UPDATE products SET search = to_tsvector('simple', name); DELETE FROM catalogue_words";
    for command in ["migrate", "rebuild-catalogue"] {
        sql.execute(old).await.unwrap();
        assert_eq!(found(&shop, "lodz").await, [""; 0]);
        shop.done(command);
        all(command).await;
    }
    let rewritten = "UPDATE products SET description = 'by hand, and by no event' WHERE sku = 'p-0'";
    sql.execute(rewritten).await.unwrap();
    shop.done("migrate");
    assert_ne!(
        shop.product("p-0").await.description,
        "",
        "a row whose words are of this version is left alone"
    );
    shop.done("rebuild-catalogue");
    shop.close();
}

#[tokio::test]
async fn letters_that_mean_something_else_do_not() {
    let shop = Shop::open().await;
    for (sku, name) in [("ga", "がく"), ("ka", "かく"), ("pan", "パン"), ("mai", "май"), ("mai-2", "маи")]
    {
        put(&shop, sku, name).await;
    }
    for (q, sku) in [
        ("がく", "ga"),
        ("か\u{3099}く", "ga"),
        ("かく", "ka"),
        ("パン", "pan"),
        ("ﾊﾟﾝ", "pan"),
        ("май", "mai"),
        ("маи\u{306}", "mai"),
        ("маи", "mai-2"),
    ] {
        assert_eq!(found(&shop, q).await, [sku], "{q}");
    }
    assert_eq!(found(&shop, "ハン").await, [""; 0]);
    // A SKU that is typed in full width is that SKU.
    assert_eq!(found(&shop, "ＭＡＩ－２").await, ["mai-2"]);
    shop.close();
}

#[tokio::test]
async fn a_product_that_cannot_be_read_keeps_no_other_from_its_words() {
    let shop = Shop::open().await;
    for (sku, name) in [("a", "Assam"), ("b", "Darjeeling"), ("c", "Ceylon")] {
        put(&shop, sku, name).await;
    }
    let mut sql = shop.sql().await;
    let torn = "INSERT INTO product_events (sku, version, type, at, by, changes)
                VALUES ('b', 9, 'product.changed', now(), 'nobody', '{}');
                INSERT INTO catalogue_words VALUES ('xyz', 'xyzzy');
                UPDATE products SET search = NULL";
    sql.execute(torn).await.unwrap();
    let (done, said) = shop.run("migrate");
    assert!(done && said.contains("cannot be written anew"), "{said}");
    assert_eq!(found(&shop, "assam").await, ["a"]);
    assert_eq!(found(&shop, "ceylan").await, ["c"], "words alike");
    let words = "SELECT DISTINCT word FROM catalogue_words ORDER BY word";
    let words: Vec<String> = sqlx::query_scalar(words).fetch_all(&mut sql).await.unwrap();
    assert_eq!(words, ["assam", "ceylon"], "what no product has is forgotten");
    let (done, said) = shop.run("rebuild-catalogue");
    assert!(!done && said.contains("1 products"), "{said}");
    let (whole, report) = shop.run("audit");
    assert!(!whole && report.contains("b: "), "{report}");
}
