//! A few products to play with, put there once.

use std::time::Duration;

use domain::{
    SignedDuration, Timestamp,
    money::Currency,
    product::{Condition, Kind, Versions, Wanted},
    stay::{Extra, Offer, Per, Terms},
    stock::{ByHand, Sku},
};
use store::{
    Db, Idempotency,
    events::Horizon,
    products::{self, Edit},
    stays, stock, webhook_endpoints as endpoints,
};

const PIECES: i64 = 1000;
const NIGHTS: i64 = 60;
/// So long is waited for what is being written.
const PATIENCE: Duration = Duration::from_secs(1);
/// SKU, name, description, cents.
const PRODUCTS: [(&str, &str, &str, i64); 3] = [
    ("tea-green", "Green tea", "Sencha from the first harvest, 100 g", 1250),
    ("tea-black", "Black tea", "Assam with golden tips, 100 g", 990),
    ("mug-blue", "Blue mug", "Stoneware, 300 ml", 1800),
];

/// Adds what is not there yet; what was changed since is left alone.
#[expect(clippy::disallowed_methods, reason = "a program's start is the edge")]
pub async fn seed(db: &Db) -> anyhow::Result<()> {
    let at = Timestamp::now();
    seed_room(db, at).await?;
    for (sku, name, description, unit_price) in PRODUCTS {
        let sku = Sku::parse(sku)?;
        put_new(db, &sku, &wanted(Kind::Goods, name, description, unit_price)?, at).await?;
        // The key makes this happen once, also if the last start was killed right here.
        let once = Idempotency { key: format!("dev-seed-{sku}"), request_hash: Vec::new() };
        let delivery =
            stock::Adjustment { kind: ByHand::Received, delta: PIECES, reason: "first delivery", by: "seed" };
        stock::adjust(db, &sku, &delivery, Some(&once), at).await?;
    }
    Ok(())
}

/// A room with two months of nights. When these are over, it has them anew.
async fn seed_room(db: &Db, at: Timestamp) -> anyhow::Result<()> {
    let sku = Sku::parse("room-garden")?;
    let room = wanted(Kind::Stay, "Garden room", "Two beds, and a door to the garden", 9500)?;
    put_new(db, &sku, &room, at).await?;
    let breakfast =
        Extra { code: "breakfast".into(), name: "Breakfast".into(), unit_price: 1400, per: Per::GuestNight };
    let terms = Terms { max_guests: 2, extras: vec![breakfast], ..Terms::default() };
    let from = terms.today(at);
    let to = from.saturating_add(SignedDuration::from_hours(24 * NIGHTS));
    if stays::nights(db, &sku, from, to).await?.is_empty() {
        let edit = Edit { by: "seed".to_owned(), at, condition: Condition::default() };
        stays::put_terms(db, &sku, &terms, &edit).await?;
        stays::put_nights(db, &sku, &Offer { from, to, capacity: 3, unit_price: None }, &edit).await?;
    }
    Ok(())
}

fn wanted(kind: Kind, name: &str, description: &str, unit_price: i64) -> anyhow::Result<Wanted> {
    Ok(Wanted {
        kind: Some(kind),
        name: name.to_owned(),
        description: description.to_owned(),
        unit_price,
        currency: Currency::parse("EUR")?,
        active: true,
    })
}

async fn put_new(db: &Db, sku: &Sku, wanted: &Wanted, at: Timestamp) -> anyhow::Result<()> {
    let only_new = Condition { unless: Some(Versions::Any), ..Condition::default() };
    match products::put(db, sku, wanted, &Edit { by: "seed".to_owned(), at, condition: only_new }).await {
        Ok(_) | Err(products::Error::Stale(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Has events sent to the receiver of this machine, wherever it listens this time.
#[expect(clippy::disallowed_methods, reason = "a program's start is the edge")]
pub async fn seed_endpoint(db: &Db, url: &str, secret: &str) -> anyhow::Result<()> {
    let at = Timestamp::now();
    let known = endpoints::list(db, None, domain::webhook::MAX_ENDPOINTS).await?;
    match known.iter().find(|endpoint| endpoint.created_by == "dev") {
        None => {
            let description = "The page of `holdfast dev`";
            // While nothing is decided, it gets what was not carried away before.
            let after = Horizon::default().reach(db, PATIENCE).await?.unwrap_or(0);
            let new = endpoints::NewEndpoint { url, types: &[], description, secret, after, by: "dev", at };
            endpoints::create(db, &new).await?;
        }
        Some(endpoint) => {
            let change =
                endpoints::Change { url: Some(url.to_owned()), enabled: Some(true), ..Default::default() };
            endpoints::change(db, endpoint.id, &change, at).await?;
        }
    }
    Ok(())
}
