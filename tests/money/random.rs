//! Random stories: whatever happens to orders and their money, and in whatever order it is told, it ends
//! matched.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use serde_json::json;

use super::{
    books::{self, Account, quiet},
    player::{Player, policy},
    table_cells::TOTAL,
};
use crate::harness::{NAME, SeededRng, Shop, documents::Settlement};

const ORDERS: usize = 24;
/// Of two acts for each order, one after the other; all orders at once.
const ROUNDS: usize = 12;
const STOCK: i64 = 1000;

/// Set `HOLDFAST_TEST_SEED` to draw a run's stories again; what meets what in time is drawn anew.
fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("HOLDFAST_TEST_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
    eprintln!("HOLDFAST_TEST_SEED={seed}"); // shown if the test fails
    seed
}

#[tokio::test]
async fn random_stories_end_matched() {
    let mut rng = SeededRng::new(seed());
    let mut shop = Shop::open().await;
    shop.stock("tea", TOTAL, STOCK).await;
    let mut players = Vec::new();
    for _ in 0..ORDERS {
        let mut rng = rng.another();
        let policy = policy(&mut rng);
        let order = shop.place_with(&[("tea", 1)], policy.clone()).await;
        let done = vec![format!("{order} placed: {policy}")];
        players.push(Player { order, rng, api: shop.api.clone(), provider: shop.provider.clone(), done });
    }
    let crash_in = rng.below(ROUNDS);
    for round in 0..ROUNDS {
        let acts = join_all(players.iter_mut().map(|player| Box::pin(player.act())));
        let crash = async {
            if round == crash_in {
                shop.kill_worker();
                shop.start_worker();
            }
        };
        tokio::join!(acts, crash);
        if rng.one_in(5) {
            let (read, said) = shop.reconcile().await;
            assert!(read || said.contains("match nothing in our books"), "{said}");
        }
    }
    let stories: Vec<String> = players.into_iter().map(|player| player.done.join("\n")).collect();
    eprintln!("{}", stories.join("\n\n"));
    let orders: Vec<&str> = stories.iter().map(|story| story.split_once(' ').unwrap().0).collect();
    calm_down(&shop).await;
    prove(&shop, &orders).await;
    assert!(!stories.concat().contains(NAME));
    shop.close();
}

/// The network and the provider behave again, and what was lost is found.
async fn calm_down(shop: &Shop) {
    shop.provider.no_faults().await;
    shop.provider.release(json!({})).await;
    let (_, said) = shop.reconcile().await;
    quiet(shop).await;
    let (whole, said_then) = shop.reconcile().await;
    assert!(whole, "{said}{said_then}");
    quiet(shop).await;
}

/// What is open and what went back is no more than was captured.
async fn settled(shop: &Shop) {
    let rows = shop.api.list::<Settlement>("/v1/settlements?limit=100").await.data;
    for currency in ["EUR", "USD"] {
        let sum = |of: fn(&Settlement) -> i64| -> i64 {
            rows.iter().filter(|it| it.currency == currency).map(of).sum()
        };
        assert!(sum(|it| it.open + it.refunded) <= sum(|it| it.captured), "{rows:#?}");
    }
}

async fn prove(shop: &Shop, orders: &[&str]) {
    let mut accounts = Vec::new();
    for order in orders {
        accounts.push(Account::of(shop, order).await);
        for reinstated in shop.told(order, "order.reinstated").await {
            accounts.push(Account::of(shop, reinstated["as"].as_str().unwrap()).await);
        }
    }
    books::prove(shop, &accounts).await;
    settled(shop).await;
    let on_hold = accounts.iter().filter(|it| it.order.status == "awaiting_payment").count();
    assert_eq!(shop.level("tea").await.1, i64::try_from(on_hold).unwrap());
}
