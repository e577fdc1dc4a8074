//! Whose money it is that goes back. A payment is the order's own money (what was applied to it) and money
//! that exceptions hold. Refunds and disputes take money out of it, also such as nobody asked us for. What
//! they took is said from all that is known of the payment, never from the order in which it became known.

use crate::payment::{DisputeState, RefundState};

/// All that is known of one payment.
#[derive(Debug, Clone, Default)]
pub struct Payment {
    /// What of it is the order's own.
    pub applied: i64,
    pub held: Vec<Held>,
    /// Those made at the provider first, then ours from the oldest on.
    pub refunds: Vec<Refund>,
    pub disputes: Vec<Dispute>,
}

impl Payment {
    /// Whether a refund failed, and its money went back all the same: of what it was to take nothing is here,
    /// whatever becomes of what is on its way, in dispute or failed besides.
    pub fn went_back_otherwise(&self, place: usize) -> bool {
        let mut settled = self.clone();
        settled.disputes.retain(|it| it.state != DisputeState::Open);
        for (other, refund) in settled.refunds.iter_mut().enumerate() {
            if other != place && refund.state != RefundState::Succeeded {
                (refund.state, refund.failure) = (RefundState::Failed, Failure::SentAgain);
            }
        }
        let refund = &self.refunds[place];
        refund.state == RefundState::Failed
            && refund.from != TakenFrom::Anywhere
            && attribute(&settled).still_here[place] == 0
    }
}

/// What an exception holds of the payment.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub amount: i64,
    pub fate: Fate,
    /// What went back of it so far. A person who keeps the money keeps the rest.
    pub back: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nobody has decided: it is open, unless the money went back by itself.
    Waits,
    /// A rule or a person sent it back.
    Sent,
    /// A person keeps it.
    Kept,
}

#[derive(Debug, Clone)]
pub struct Refund {
    pub from: TakenFrom,
    pub state: RefundState,
    pub amount: i64,
    pub failure: Failure,
    /// What is held because this took it: parts of an order's money that went back before the order was paid.
    pub held_for: Vec<usize>,
}

/// What a refund was to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenFrom {
    /// The order's own money.
    Own,
    /// What an exception holds, by its place among those.
    Held(usize),
    /// It was made at the provider, where nobody says.
    Anywhere,
}

/// What became of a refund that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Waits,
    /// A person keeps the money.
    Kept,
    /// A person sent the money once more, by another refund.
    SentAgain,
}

#[derive(Debug, Clone)]
pub struct Dispute {
    pub state: DisputeState,
    pub amount: i64,
    /// As of a refund.
    pub held_for: Vec<usize>,
}

/// What a refund or a dispute took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    pub own: i64,
    /// Of what exceptions hold.
    pub held: i64,
    /// It is exactly all that this exception holds.
    pub whole: Option<usize>,
    /// More than the payment had.
    pub short: i64,
}

impl Taken {
    /// Both, by one refund.
    fn and(self, more: Self) -> Self {
        // Of two exceptions it is all of neither.
        let whole = more.whole.filter(|_| self.held == 0);
        Self { own: self.own + more.own, held: self.held + more.held, whole, short: more.short }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attribution {
    /// By refund; nothing of one that failed.
    pub refunds: Vec<Taken>,
    /// By refund: what should have gone back by it, and is still here for nobody else to explain. Zero unless
    /// it failed.
    pub still_here: Vec<i64>,
    /// By dispute; nothing of one that was won.
    pub disputes: Vec<Taken>,
    /// By exception: what went back of it or is on its way.
    pub back: Vec<i64>,
    /// A refund of ours is under way. It may fail because the money it is about went back otherwise: until
    /// then nobody is asked to explain what is short.
    pub ours_under_way: bool,
}

/// What is left of the payment's parts.
struct Left<'a> {
    own: i64,
    held: Vec<i64>,
    of: &'a [Held],
}

impl Left<'_> {
    fn own(&mut self, wanted: i64) -> i64 {
        let taken = wanted.min(self.own);
        self.own -= taken;
        taken
    }

    fn held(&mut self, place: usize, wanted: i64) -> i64 {
        let taken = wanted.min(self.held[place]);
        self.held[place] -= taken;
        taken
    }

    fn take(&mut self, from: TakenFrom, wanted: i64) -> Taken {
        let (own, held) = match from {
            TakenFrom::Own => (self.own(wanted), 0),
            TakenFrom::Held(place) => (0, self.held(place, wanted)),
            TakenFrom::Anywhere => return self.anywhere(wanted),
        };
        Taken { own, held, whole: None, short: wanted - own - held }
    }

    /// The exception that holds exactly this, all of it still here: one that nobody has decided about, if
    /// there is one.
    fn whole(&self, wanted: i64) -> Option<usize> {
        let of = |fate| {
            let is = |(place, held): (usize, &Held)| {
                held.fate == fate && held.amount == wanted && self.held[place] == wanted
            };
            self.of.iter().enumerate().position(is)
        };
        of(Fate::Waits).or_else(|| of(Fate::Sent))
    }

    /// Exactly what one exception holds, if there is one; else the order's own money, then what exceptions
    /// hold.
    fn anywhere(&mut self, wanted: i64) -> Taken {
        if let Some(place) = self.whole(wanted) {
            let held = self.held(place, wanted);
            let whole = (self.of[place].fate == Fate::Waits).then_some(place);
            return Taken { own: 0, held, whole, short: 0 };
        }
        let own = self.own(wanted);
        let held = self.in_turn(wanted - own, |_| true);
        Taken { own, held, whole: None, short: wanted - own - held }
    }

    /// What is held because of this very refund or dispute.
    fn held_for(&mut self, places: &[usize], wanted: i64) -> Taken {
        let mut taken = Taken::default();
        for place in places.iter().copied() {
            let held = self.held(place, wanted - taken.held);
            taken.whole =
                (held == wanted && self.of[place].fate == Fate::Waits).then_some(place).or(taken.whole);
            taken.held += held;
        }
        taken
    }

    fn in_turn(&mut self, wanted: i64, from: impl Fn(Fate) -> bool) -> i64 {
        let mut taken = 0;
        for place in 0..self.held.len() {
            if from(self.of[place].fate) {
                taken += self.held(place, wanted - taken);
            }
        }
        taken
    }

    /// What a refund that failed was to take, as far as it is here and nobody waits for it already.
    fn still_here(&mut self, from: TakenFrom, wanted: i64) -> i64 {
        match from {
            TakenFrom::Own => self.own(wanted),
            TakenFrom::Held(place) if self.of[place].fate != Fate::Sent => 0,
            TakenFrom::Held(place) => self.held(place, wanted),
            // The very money that it was to take is told of already.
            TakenFrom::Anywhere
                if self.whole(wanted).is_some_and(|place| self.of[place].fate == Fate::Waits) =>
            {
                0
            }
            TakenFrom::Anywhere => {
                let own = self.own(wanted);
                own + self.in_turn(wanted - own, |fate| fate == Fate::Sent)
            }
        }
    }
}

/// Says whose money went back: what is back first, and of that what we know the reason of; then disputes;
/// then what is on its way.
pub fn attribute(payment: &Payment) -> Attribution {
    let Payment { applied, held, refunds, disputes } = payment;
    let here = |it: &Held| if it.fate == Fate::Kept { it.back } else { it.amount };
    let mut left = Left { own: *applied, held: held.iter().map(here).collect(), of: held };
    // What is held because of one of them is its, before any other looks for something to take.
    let is_back = |it: &Refund| it.state == RefundState::Succeeded;
    let is_lost = |it: &Dispute| it.state == DisputeState::Lost;
    let mut taken: Vec<Taken> = refunds
        .iter()
        .map(|it| left.held_for(if is_back(it) { &it.held_for } else { &[] }, it.amount))
        .collect();
    let lost: Vec<Taken> = disputes
        .iter()
        .map(|it| left.held_for(if is_lost(it) { &it.held_for } else { &[] }, it.amount))
        .collect();
    let mut pass = |left: &mut Left<'_>, fits: &dyn Fn(&Refund) -> bool| {
        let (mut first, mut then) = (Vec::new(), Vec::new());
        for (place, refund) in refunds.iter().enumerate().filter(|(_, it)| fits(it)) {
            // What fits an exception exactly comes before what takes from wherever something is.
            let is_whole = refund.from == TakenFrom::Anywhere && left.whole(refund.amount).is_some();
            if is_whole { first.push(place) } else { then.push(place) }
        }
        for place in first.into_iter().chain(then) {
            let refund = &refunds[place];
            if taken[place].held == refund.amount {
                continue;
            }
            taken[place] = taken[place].and(left.take(refund.from, refund.amount - taken[place].held));
            if refund.state == RefundState::Succeeded
                && taken[place].short > 0
                && refund.from != TakenFrom::Anywhere
            {
                // It went back all the same, so it was something else's.
                let Taken { own, held, short, .. } = left.anywhere(taken[place].short);
                let first = taken[place];
                taken[place] = Taken { own: first.own + own, held: first.held + held, whole: None, short };
            }
        }
    };
    let is_under_way = |it: &Refund| !it.state.is_final();
    pass(&mut left, &|it| is_back(it) && it.from != TakenFrom::Anywhere);
    pass(&mut left, &|it| is_back(it) && it.from == TakenFrom::Anywhere);
    let disputed = disputes.iter().zip(lost).map(|(it, before)| match it.state {
        DisputeState::Won => Taken::default(),
        DisputeState::Open | DisputeState::Lost if before.held == it.amount => before,
        DisputeState::Open | DisputeState::Lost => before.and(left.anywhere(it.amount - before.held)),
    });
    let disputed = disputed.collect();
    pass(&mut left, &|it| is_under_way(it) && it.from != TakenFrom::Anywhere);
    pass(&mut left, &|it| is_under_way(it) && it.from == TakenFrom::Anywhere);
    let ours_under_way = refunds.iter().any(|it| is_under_way(it) && it.from != TakenFrom::Anywhere);
    let back = held.iter().zip(&left.held).map(|(it, left)| here(it) - left).collect();
    let still_here = failures(refunds, &mut left);
    Attribution { refunds: taken, still_here, disputes: disputed, back, ours_under_way }
}

/// The newest of ours comes first: an older one that failed was tried again by it.
fn failures(refunds: &[Refund], left: &mut Left<'_>) -> Vec<i64> {
    let mut still_here = vec![0; refunds.len()];
    for (place, refund) in refunds.iter().enumerate().rev() {
        if refund.state == RefundState::Failed && refund.failure != Failure::SentAgain {
            still_here[place] = left.still_here(refund.from, refund.amount);
        }
    }
    still_here
}
