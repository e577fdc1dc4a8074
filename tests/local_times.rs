//! Where a customer or a stay is: which zones and locales there are, and how local times are written.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::json;

use crate::harness::Shop;

#[tokio::test]
async fn what_is_no_zone_or_locale_is_named() {
    let shop = Shop::with_tea(10).await;
    shop.rooms("room", 1).await;
    for zone in [
        "Factory",
        "factory",
        "Etc/Unknown",
        "etc/unknown",
        "localtime",
        "posixrules",
        "right/Europe/Vienna",
        "posix/Europe/Vienna",
        "Europe",
        "+02:00",
        "CEST-2",
        "-",
        "",
    ] {
        let mut body = shop.order_body(&[("tea", 1)]);
        body["customer"]["time_zone"] = json!(zone);
        assert_eq!(shop.try_place(&body).await.bad_fields(), ["customer.time_zone"], "{zone}");
        let terms = shop.api.put("/v1/products/room/stay", &json!({"time_zone": zone})).await;
        assert_eq!(terms.bad_fields(), ["time_zone"], "{zone}");
    }
    for locale in ["-", "--", "de-", "-de", "de--AT", "de-abcdefghi", "de_", "d", "english", "x", "de-u"] {
        let mut body = shop.order_body(&[("tea", 1)]);
        body["customer"]["locale"] = json!(locale);
        assert_eq!(shop.try_place(&body).await.bad_fields(), ["customer.locale"], "{locale}");
    }
    for (field, nothing) in [("id", "-"), ("id", "._:"), ("name", "\u{200b}"), ("name", "\u{202e} ")] {
        let mut body = shop.order_body(&[("tea", 1)]);
        body["customer"][field] = json!(nothing);
        assert_eq!(shop.try_place(&body).await.bad_fields(), [format!("customer.{field}")], "{nothing:?}");
    }
    let product = json!({"name": "\u{feff}", "unit_price": 1, "currency": "EUR"});
    assert_eq!(shop.api.put("/v1/products/--", &product).await.bad_fields(), ["sku", "name"]);
    assert_eq!(shop.api.put("/v1/products/a", &product).await.bad_fields(), ["name"]);
    let dots = json!({"extras": [{"code": "...", "name": "B", "unit_price": 1, "per": "guest"}]});
    assert_eq!(shop.api.put("/v1/products/room/stay", &dots).await.bad_fields(), ["extras[0].code"]);
    assert_eq!(shop.level("tea").await, (10, 0));
    shop.close();
}

#[tokio::test]
async fn a_zone_is_kept_by_its_own_name() {
    let shop = Shop::with_tea(10).await;
    shop.rooms("room", 1).await;
    let mut body = shop.order_body(&[("tea", 1)]);
    body["customer"]["time_zone"] = json!("europe/VIENNA");
    body["customer"]["locale"] = json!("zh-Hant-TW");
    let order = shop.try_place(&body).await.is(201);
    assert_eq!(order.customer.time_zone, "Europe/Vienna");
    assert_eq!(order.customer.locale, "zh-Hant-TW");
    let terms = shop.api.put("/v1/products/room/stay", &json!({"time_zone": "utc"})).await.is(200);
    assert_eq!(terms["time_zone"], "UTC");
    shop.close();
}

/// The clocks of Vienna go back within a year of any day: two deadlines an hour apart have the same hour
/// there.
#[tokio::test]
async fn the_hour_that_comes_twice_is_told_apart_by_its_offset() {
    let shop = Shop::with_tea(10).await;
    let vienna = TimeZone::get("Europe/Vienna").unwrap();
    let in_winter = |at: Timestamp| vienna.to_offset(at).seconds() == 3600;
    let back = vienna
        .following(Timestamp::now() + 48.hours())
        .map(|change| change.timestamp())
        .find(|at| in_winter(*at));
    let back = back.unwrap();
    for (due, offset) in [(back - 30.minutes(), "+02:00"), (back + 30.minutes(), "+01:00")] {
        let id = shop.place(&[("tea", 1)]).await;
        shop.extend(&id, due).await.is(200);
        shop.until_mailed(&id, "extended").await;
        let mail = &shop.mails(&id).await[0];
        for part in [&mail.text, &mail.html] {
            assert!(part.contains(&format!("02:30 {offset} (Europe/Vienna)")), "{offset}:\n{part}");
        }
    }
    shop.close();
}
