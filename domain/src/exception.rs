//! Exceptions: what no rule has settled (yet), until a rule, a provider or a person does.

text_enum! {
    /// What an exception is about: why captured money is not simply an order's, or what else a person has to
    /// look at.
    pub enum Kind("kind" as "ExceptionKind") {
        WrongAmount = "wrong_amount",
        WrongCurrency = "wrong_currency",
        /// The order was paid already by another payment.
        PaidTwice = "paid_twice",
        /// The order was expired or cancelled when the money came.
        OrderClosed = "order_closed",
        /// No order has the id the provider named.
        UnknownOrder = "unknown_order",
        /// What an accepted payment brought beyond the order's total.
        Overpaid = "overpaid",
        /// A refund that the provider could not make: the money is still ours.
        RefundFailed = "refund_failed",
        /// More went back at the provider than we know a reason for.
        RefundUnexplained = "refund_unexplained",
        /// The provider says something of a refund of ours that is not what was asked: about another payment,
        /// amount or currency. It is not taken up.
        RefundContradicted = "refund_contradicted",
        /// The payer wants the money back by way of the bank.
        Disputed = "disputed",
        /// The provider did not say in time whether an attempt was captured; the order expired all the same.
        AttemptUncertain = "attempt_uncertain",
        /// We heard of a capture that the provider's books do not have, days later.
        NotInBooks = "not_in_books",
        /// A genuine event that could not be read. It is about no money that we know of.
        UnreadableEvent = "unreadable_event",
        /// A check-in code that its customer will never get by mail. It is about no money.
        CodeUndelivered = "check_in_code_undelivered",
    }
}

impl Kind {
    /// Whether such an exception holds captured money. The others tell of refunds, disputes, attempts, events
    /// and codes; the money that they are about is an order's, or another exception's, or not here.
    pub const fn holds_money(self) -> bool {
        match self {
            Self::WrongAmount
            | Self::WrongCurrency
            | Self::PaidTwice
            | Self::OrderClosed
            | Self::UnknownOrder
            | Self::Overpaid => true,
            Self::RefundFailed
            | Self::RefundUnexplained
            | Self::RefundContradicted
            | Self::Disputed
            | Self::AttemptUncertain
            | Self::NotInBooks
            | Self::UnreadableEvent
            | Self::CodeUndelivered => false,
        }
    }

    /// The words of those that do.
    pub fn holding_money() -> Vec<String> {
        Self::ALL.iter().filter(|kind| kind.holds_money()).map(Self::to_string).collect()
    }
}

text_enum! {
    pub enum State("state" as "ExceptionState") {
        Open = "open",
        Resolved = "resolved",
    }
}

text_enum! {
    /// Who settled it.
    pub enum ResolvedBy("resolved_by" as "ResolvedBy") {
        /// A rule, such as one of the order's policy.
        Rule = "rule",
        /// A person.
        Api = "api",
        /// The money went back at the provider.
        Provider = "provider",
    }
}

impl ResolvedBy {
    /// Whether no person decided: once what settled it holds no longer, it opens again.
    pub const fn is_automatic(self) -> bool {
        matches!(self, Self::Rule | Self::Provider)
    }
}
