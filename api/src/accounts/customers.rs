//! Whose the accounts are that place orders, so that each order does not cost a look for that.
//!
//! Who an account is of never changes while there is one. Whether there still is one cannot be remembered:
//! that the placement's own transaction asks, over all orders that share it ([`store::orders::PlaceOrder`]).

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::{AccountId, customer::Customer};
use store::{Db, accounts};

use crate::error::Problem;

/// As many people may place orders in a minute without a look for each of them.
const MAX_CUSTOMERS: usize = 10_000;
/// So long at least they are remembered, and twice as long at most: an account may be erased elsewhere.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

type ById = HashMap<AccountId, Arc<Customer>>;

/// What was read of late. What is old goes as a whole, so that nothing has to be looked for to make room.
pub struct Customers(Mutex<Known>);

struct Known {
    new: ById,
    old: ById,
    /// When the new ones were none.
    since: Instant,
}

impl Customers {
    pub fn new() -> Self {
        Self(Mutex::new(Known { new: ById::new(), old: ById::new(), since: Instant::now() }))
    }

    /// # Errors
    /// 401 if there is no such account, which may be found out as late as by the placement.
    pub async fn of(&self, db: &Db, id: AccountId) -> Result<Arc<Customer>, Problem> {
        if let Some(customer) = self.known().find(id) {
            return Ok(customer);
        }
        let account = accounts::get(db, id).await?.ok_or_else(Problem::account_gone)?;
        let customer = Arc::new(account.customer);
        self.known().new.insert(id, customer.clone());
        Ok(customer)
    }

    /// It was erased: nothing of it is kept.
    pub fn forget(&self, id: AccountId) {
        let mut known = self.known();
        known.new.remove(&id);
        known.old.remove(&id);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.make_room(Instant::now());
        known
    }
}

impl Known {
    fn find(&self, id: AccountId) -> Option<Arc<Customer>> {
        self.new.get(&id).or_else(|| self.old.get(&id)).cloned()
    }

    fn make_room(&mut self, now: Instant) {
        let age = now.duration_since(self.since);
        // If nobody came for so long, the new ones are old as well.
        if age >= 2 * REMEMBERED_FOR {
            self.new.clear();
        }
        if age >= REMEMBERED_FOR || self.new.len() >= MAX_CUSTOMERS / 2 {
            self.old = mem::take(&mut self.new);
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::customer::UncheckedCustomer;

    use super::*;

    fn remember(customers: &Customers, n: u128) -> AccountId {
        let id = AccountId::from_uuid(uuid::Uuid::from_u128(n));
        let email = format!("u{n}@example.org");
        let of = UncheckedCustomer { id: id.to_string(), email, name: None, locale: None, time_zone: None };
        customers.known().new.insert(id, Arc::new(Customer::parse(&of).unwrap()));
        id
    }

    #[test]
    fn nobody_is_remembered_for_longer_than_twice_the_time() {
        let customers = Customers::new();
        let (ann, begin) = (remember(&customers, 1), Instant::now());
        let mut known = customers.known();
        known.make_room(begin + REMEMBERED_FOR);
        assert!(known.find(ann).is_some());
        known.make_room(begin + 2 * REMEMBERED_FOR);
        assert!(known.find(ann).is_none());
        drop(known);
        let bob = remember(&customers, 2);
        let mut known = customers.known();
        known.make_room(begin + 5 * REMEMBERED_FOR);
        assert!(known.find(bob).is_none(), "nobody came meanwhile");
    }

    #[test]
    fn there_are_never_more_than_there_is_room_for() {
        let customers = Customers::new();
        for n in 1..=2 * MAX_CUSTOMERS as u128 {
            let id = remember(&customers, n);
            let known = customers.known();
            assert!(known.find(id).is_some());
            assert!(known.new.len() + known.old.len() <= MAX_CUSTOMERS);
        }
        let erased = remember(&customers, 1);
        customers.forget(erased);
        assert!(customers.known().find(erased).is_none());
    }
}
