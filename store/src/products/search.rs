//! Finding products. Results come in tiers, best first, and in SKU order within one, so a page ends at a tier
//! and a SKU. A tier is one query over an index, and is asked only when those before it did not fill the
//! page.

use std::collections::BTreeSet;

use domain::{
    search::{self, Query},
    stock::Sku,
};

use super::{Details, Product, SqlTime};
use crate::{Db, Result, Tx};

/// The SKU begins like that; then come four tiers of words as written, and four of words alike.
const BY_SKU: usize = 0;
const DIRECT: usize = 5;
/// How many tiers there are, the best first.
pub const TIERS: usize = 9;
/// Marks a word of the name.
const IN_NAME: &str = "^";
/// Marks the number of the idea by which the words were made. It is no word, so nobody searches for it.
const MADE_BY: &str = "#";
/// How many of a word's trigrams and another's are the same: of all there are in both. Half of them is a
/// wrong letter or one too few; a third is about what `pg_trgm` takes for similar.
const CLOSE: f64 = 0.5;
const ALIKE: f64 = 0.3;
/// So many words are taken for what one word may have meant.
const MAX_ALIKE: i64 = 20;

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Not known if the client gave a SKU.
    pub tier: Option<usize>,
    pub sku: Sku,
}

/// A product, and the tier in which it was found.
#[derive(Debug)]
pub struct Found {
    pub tier: usize,
    pub product: Product,
}

/// Products in which every word of the query is found, after the place `after`: first those whose SKU begins
/// like the query, then by name and description, then by words that are alike. None if the
/// query does not find the SKU of that place.
#[tracing::instrument(name = "sql products.search", skip_all, err(level = "debug"))]
pub async fn search(
    db: &Db,
    query: &Query,
    with_retired: bool,
    after: Option<&Place>,
    limit: i64,
) -> Result<Option<Vec<Found>>> {
    let mut tiers = Tiers::new(query);
    let (start, mut after) = match after {
        None => (BY_SKU, None),
        Some(Place { tier: Some(tier), sku }) => (*tier, Some(sku)),
        Some(Place { tier: None, sku }) => match tiers.of(db, sku).await? {
            Some(tier) => (tier, Some(sku)),
            None => return Ok(None),
        },
    };
    let mut found = Vec::new();
    for tier in start..TIERS {
        let wanted = limit - i64::try_from(found.len()).unwrap_or(limit);
        if wanted <= 0 {
            break;
        }
        let products = tiers.products(db, tier, with_retired, after.take(), wanted).await?;
        found.extend(products.into_iter().map(|product| Found { tier, product }));
    }
    Ok(Some(found))
}

/// One query's tiers, as far as they were needed.
struct Tiers<'a> {
    query: &'a Query,
    /// `tsquery` by tier, from tier 1 on.
    words: Vec<String>,
}

impl<'a> Tiers<'a> {
    fn new(query: &'a Query) -> Self {
        let all = |(mark, rest)| {
            let terms: Vec<String> = query.words.iter().map(|word| format!("'{mark}{word}'{rest}")).collect();
            terms.join(" & ")
        };
        // In the name before anywhere, whole words before their beginnings.
        let words = match query.words.is_empty() {
            true => Vec::new(),
            false => [(IN_NAME, ""), (IN_NAME, ":*"), ("", ""), ("", ":*")].map(all).to_vec(),
        };
        Self { query, words }
    }

    async fn products(
        &mut self,
        db: &Db,
        tier: usize,
        with_retired: bool,
        after: Option<&Sku>,
        limit: i64,
    ) -> Result<Vec<Product>> {
        if tier == BY_SKU {
            return match &self.query.sku {
                Some(beginning) => by_sku(db, beginning, with_retired, after, limit).await,
                None => Ok(Vec::new()),
            };
        }
        self.reach(db, tier).await?;
        let Some(words) = self.words.get(tier - 1) else { return Ok(Vec::new()) };
        let better = self.words[..tier - 1].iter().map(|words| format!(" & !({words})"));
        let words = format!("({words}){}", better.collect::<String>());
        let after = after.map_or("", Sku::as_str);
        let sku = self.query.sku.as_deref();
        // Words as written: PostgreSQL may as well walk the SKUs in order, if most products have them. Words
        // alike come when little is left that is not excluded, so the index is read first, whatever
        // PostgreSQL expects.
        let products = match tier < DIRECT {
            true => {
                let products = products!(
                    r#"products
                       WHERE search @@ $1::text::tsquery AND sku > $2 AND ($3 OR retired_at IS NULL)
                         AND ($4::text IS NULL OR NOT starts_with(lower(sku COLLATE "C"), $4))
                       ORDER BY sku LIMIT $5"#,
                    words,
                    after,
                    with_retired,
                    sku,
                    limit
                );
                products.fetch_all(&mut *db.begin_walking().await?).await
            }
            false => {
                let products = products!(
                    r#"WITH hits AS MATERIALIZED (
                           SELECT sku, kind, name, description, unit_price, currency, active, stay, nights,
                                  version, created_at, updated_at, retired_at
                           FROM products
                           WHERE search @@ $1::text::tsquery AND sku > $2 AND ($3 OR retired_at IS NULL)
                             AND ($4::text IS NULL OR NOT starts_with(lower(sku COLLATE "C"), $4))
                       ) "# => "hits ORDER BY sku LIMIT $5",
                    words,
                    after,
                    with_retired,
                    sku,
                    limit
                );
                products.fetch_all(db.pool()).await
            }
        };
        Ok(products?)
    }

    /// In which tier a SKU is found, if it is.
    async fn of(&mut self, db: &Db, sku: &Sku) -> Result<Option<usize>> {
        let begins = |beginning: &String| sku.as_str().to_ascii_lowercase().starts_with(beginning);
        if self.query.sku.as_ref().is_some_and(begins) {
            return Ok(Some(BY_SKU));
        }
        self.reach(db, TIERS - 1).await?;
        let tier = sqlx::query_scalar!(
            "SELECT min(t.tier) FROM products p, unnest($2::text[]) WITH ORDINALITY t (words, tier)
             WHERE p.sku = $1 AND p.search @@ t.words::tsquery",
            sku.as_str(),
            &self.words
        )
        .fetch_one(db.pool())
        .await?;
        Ok(tier.and_then(|tier| tier.try_into().ok()))
    }

    /// Looks for words alike, once a tier of them is reached.
    async fn reach(&mut self, db: &Db, tier: usize) -> Result<()> {
        if tier < DIRECT || self.words.is_empty() || self.words.len() + 1 > DIRECT {
            return Ok(());
        }
        let mut meant = Vec::new();
        for word in &self.query.words {
            meant.push((word, alike(db, word).await?));
        }
        if meant.iter().all(|(_, alike)| alike.is_empty()) {
            return Ok(());
        }
        for (at_least, mark) in [(CLOSE, IN_NAME), (CLOSE, ""), (ALIKE, IN_NAME), (ALIKE, "")] {
            let terms: Vec<String> =
                meant.iter().map(|(word, alike)| any(word, alike, at_least, mark)).collect();
            self.words.push(terms.join(" & "));
        }
        Ok(())
    }
}

/// A word as it was written, its beginning, or one of those alike.
fn any(word: &str, alike: &[(String, f64)], at_least: f64, mark: &str) -> String {
    let alike = alike.iter().filter(|(_, similarity)| *similarity >= at_least);
    let alike: String = alike.map(|(word, _)| format!(" | '{mark}{word}'")).collect();
    format!("('{mark}{word}':*{alike})")
}

/// The words of the catalogue that are most like this one, with their similarity.
async fn alike(db: &Db, word: &str) -> Result<Vec<(String, f64)>> {
    if !search::may_be_misspelt(word) {
        return Ok(Vec::new());
    }
    let trigrams: Vec<String> = search::trigrams(word).into_iter().collect();
    // A word has one trigram more than letters, or fewer if some are the same.
    let alike = sqlx::query!(
        r#"SELECT word, similarity AS "similarity!" FROM (
               SELECT word,
                      count(*)::float8 / (cardinality($1::text[]) + char_length(word) + 1 - count(*))
                          AS similarity
               FROM catalogue_words WHERE trigram = ANY($1) GROUP BY word
           ) w WHERE similarity >= $2 ORDER BY similarity DESC, word LIMIT $3"#,
        &trigrams,
        ALIKE,
        MAX_ALIKE
    )
    .map(|it| (it.word, it.similarity))
    .fetch_all(db.pool())
    .await?;
    Ok(alike)
}

async fn by_sku(
    db: &Db,
    beginning: &str,
    with_retired: bool,
    after: Option<&Sku>,
    limit: i64,
) -> Result<Vec<Product>> {
    let after = after.map(|sku| (sku.as_str().to_ascii_lowercase(), sku.as_str()));
    let (small, sku) = after.unwrap_or_default().max((beginning.to_owned(), ""));
    // In this order the index gives them. No SKU has a `~`, which comes after all that they have.
    let products = products!(
        r#"products
           WHERE (lower(sku) COLLATE "C", sku) > ($2, $3) AND lower(sku) COLLATE "C" < $1 || '~'
             AND ($4 OR retired_at IS NULL)
           ORDER BY lower(sku) COLLATE "C", sku LIMIT $5"#,
        beginning,
        small,
        sku,
        with_retired,
        limit
    );
    Ok(products.fetch_all(db.pool()).await?)
}

/// The words of a product as a `tsvector`, those of the name marked and unmarked. (PostgreSQL's own weights
/// are not in its indexes, so that each row with the word would have to be read.) Words are letters and
/// digits: nothing needs escaping.
pub(super) fn index(details: &Details) -> String {
    let name = search::indexed(&details.name);
    let marked = name.iter().map(|word| format!("'{IN_NAME}{word}'"));
    let description = search::indexed(&details.description);
    let all = name.iter().chain(&description).map(|word| format!("'{word}'"));
    marked.chain(all).chain([made_by()]).collect::<Vec<_>>().join(" ")
}

/// Stands among the words of each product that this program has written. A program of before, which may still
/// run beside this one, writes its own.
pub(super) fn made_by() -> String {
    format!("'{MADE_BY}{}'", search::WORDS_VERSION)
}

/// Notes the words of products for [`alike`]. In one order, so that two who bring the same words wait for
/// each other and never both.
pub(super) async fn learn(tx: &mut Tx, products: &[Product]) -> Result<()> {
    let texts = products.iter().flat_map(|it| [&it.details.name, &it.details.description]);
    let words: BTreeSet<String> = texts.flat_map(|text| search::indexed(text)).collect();
    let entries: BTreeSet<(String, &String)> = words
        .iter()
        .filter(|word| search::has_alike(word))
        .flat_map(|word| search::trigrams(word).into_iter().map(move |trigram| (trigram, word)))
        .collect();
    let (trigrams, words): (Vec<String>, Vec<&String>) = entries.into_iter().unzip();
    sqlx::query!(
        "INSERT INTO catalogue_words (trigram, word)
         SELECT trigram, word FROM unnest($1::text[], $2::text[]) AS it (trigram, word)
         ON CONFLICT DO NOTHING",
        &trigrams,
        words as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets words that no product has any more. Nobody notes any meanwhile: a word that is there is not noted
/// again.
pub(super) async fn forget_unused(db: &Db) -> Result<()> {
    let mut tx = db.begin_walking().await?;
    sqlx::query!("LOCK TABLE catalogue_words IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
    sqlx::query!(
        r#"DELETE FROM catalogue_words WHERE word IN (
               SELECT word COLLATE "C" FROM catalogue_words
               EXCEPT SELECT unnest(tsvector_to_array(search)) COLLATE "C" FROM products)"#
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
