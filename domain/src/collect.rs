//! What a payment method can collect: an order that nobody could pay is not to be placed.

use crate::money::{Currency, Money};

/// What a method can collect in one currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Collects {
    /// Whatever it is asked for. Also said of orders whose money the shop collects by itself.
    #[default]
    Anything,
    /// It does not take the currency.
    Nothing,
    /// Multiples of `step`.
    Amounts { min: i64, max: i64, step: i64 },
}

impl Collects {
    /// Why `total` cannot be collected. Where there is nothing to pay, there is nothing to collect.
    pub fn check(self, total: Money) -> Result<(), String> {
        let Money { amount, currency } = total;
        match self {
            _ if amount == 0 => Ok(()),
            Self::Anything => Ok(()),
            Self::Nothing => Err(format!("cannot collect {total}: it does not take {currency}")),
            Self::Amounts { min, .. } if amount < min => Err(too(total, "least", min, currency)),
            Self::Amounts { max, .. } if amount > max => Err(too(total, "most", max, currency)),
            Self::Amounts { step, .. } if amount % step != 0 => {
                let step = Money::new(step, currency);
                Err(format!("cannot collect {total}: it takes multiples of {step} alone"))
            }
            Self::Amounts { .. } => Ok(()),
        }
    }
}

fn too(total: Money, end: &str, limit: i64, currency: Currency) -> String {
    format!("cannot collect {total}: it takes {} at {end}", Money::new(limit, currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_collected_is_said_with_its_limit() {
        let money = |amount| Money::new(amount, Currency::parse("KWD").expect("known"));
        let tens = Collects::Amounts { min: 100, max: 990, step: 10 };
        assert_eq!(tens.check(money(100)), Ok(()));
        assert_eq!(tens.check(money(990)), Ok(()));
        let said = |collects: Collects, amount| collects.check(money(amount)).expect_err("refused");
        assert_eq!(said(tens, 90), "cannot collect 0.090 KWD: it takes 0.100 KWD at least");
        assert_eq!(said(tens, 1000), "cannot collect 1.000 KWD: it takes 0.990 KWD at most");
        assert_eq!(said(tens, 125), "cannot collect 0.125 KWD: it takes multiples of 0.010 KWD alone");
        assert_eq!(said(Collects::Nothing, 1), "cannot collect 0.001 KWD: it does not take KWD");
        assert_eq!(Collects::Anything.check(money(i64::MAX)), Ok(()));
        assert_eq!((Collects::Nothing.check(money(0)), tens.check(money(0))), (Ok(()), Ok(())));
    }
}
