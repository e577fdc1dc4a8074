//! What a provider's statement has of our money.

text_enum! {
    /// What a line of it tells of.
    pub enum LineKind("kind") {
        Captured = "captured",
        Refunded = "refunded",
        /// Taken away by a dispute.
        Disputed = "disputed",
        /// Given back by a dispute that was won.
        DisputeReversed = "dispute_reversed",
    }
}
