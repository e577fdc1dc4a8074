//! A few products to play with, put there once.

use domain::{
    Timestamp,
    money::Currency,
    product::{Condition, Kind, Versions, Wanted},
    stock::Sku,
};
use store::{
    Db, Error, Idempotency,
    products::{self, Ask},
    stock,
};

const PIECES: i64 = 1000;
/// SKU, name, description, cents.
const PRODUCTS: [(&str, &str, &str, i64); 3] = [
    ("tea-green", "Green tea", "Sencha from the first harvest, 100 g", 1250),
    ("tea-black", "Black tea", "Assam with golden tips, 100 g", 990),
    ("mug-blue", "Blue mug", "Stoneware, 300 ml", 1800),
];

/// Adds what is not there yet; what was changed since is left alone.
pub async fn seed(db: &Db) -> anyhow::Result<()> {
    for (sku, name, description, unit_price) in PRODUCTS {
        let sku = Sku::parse(sku)?;
        let at = Timestamp::now();
        let wanted = Wanted {
            kind: Some(Kind::Goods),
            name: name.to_owned(),
            description: description.to_owned(),
            unit_price,
            currency: Currency::parse("EUR")?,
            active: true,
        };
        let only_new = Condition { unless: Some(Versions::Any), ..Condition::default() };
        match products::put(db, &sku, &wanted, &Ask { by: "seed", at, condition: only_new }).await {
            Ok(_) | Err(Error::Stale(_)) => {}
            Err(error) => return Err(error.into()),
        }
        // The key makes this happen once, also if the last start was killed right here.
        let once = Idempotency { key: format!("dev-seed-{sku}"), request_hash: Vec::new() };
        stock::adjust(db, &sku, PIECES, "first delivery", Some(&once), at).await?;
    }
    Ok(())
}
