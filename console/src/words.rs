//! The API's words, as people say them.

/// `awaiting_payment` as `awaiting payment`.
pub fn spoken(word: &str) -> String {
    word.replace(['_', '.'], " ")
}

/// The colour of a state: a class of the style sheet. What a state is stands in words beside it.
pub fn tone(word: &str) -> &'static str {
    match word {
        "paid" | "completed" | "succeeded" | "sent" | "delivered" | "enabled" | "resolved" | "active"
        | "done" => "good",
        "expired" | "failed" | "rejected" | "refused" | "bounced" | "disabled" | "revoked" | "retired"
        | "away" => "bad",
        "awaiting_payment" | "open" | "opening" | "pending" | "requested" | "refund_pending" | "sending"
        | "unpaid" | "partially_refunded" => "open",
        _ => "plain",
    }
}

/// `1,234,567`.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let groups: Vec<String> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| group.iter().map(|byte| char::from(*byte)).collect())
        .collect();
    format!("{}{}", if number < 0 { "-" } else { "" }, groups.join(","))
}

/// What an exception is about, for who has never seen one.
pub fn exception(kind: &str) -> &'static str {
    match kind {
        "wrong_amount" => "The payment is not what was due.",
        "wrong_currency" => "The payment came in another currency than the order's.",
        "paid_twice" => "The order had been paid already by another payment.",
        "order_closed" => "The money came after the order had ended.",
        "unknown_order" => "The provider names an order that there is not.",
        "overpaid" => "More came than the order costs; this is the difference.",
        "refund_failed" => "The provider could not send the money back: it is still here.",
        "refund_unexplained" => "More went back at the provider than is known here.",
        "refund_contradicted" => "The provider tells of a refund otherwise than it was asked for.",
        "disputed" => "The payer wants the money back by way of the bank.",
        "attempt_uncertain" => "The provider did not say in time whether a payment was captured.",
        "not_in_books" => "A capture that is known here is missing in the provider's statement.",
        "unreadable_event" => "A genuine event of the provider could not be read.",
        "check_in_code_undelivered" => "The guests will not get their check-in code by mail.",
        _ => "A person has to look at this.",
    }
}

/// What an action does about an exception.
pub fn action(action: &str) -> &'static str {
    match action {
        "refund" => "The money goes back to the payer; your note is the reason that they may read.",
        "accept" => "The money is kept, and does not pay the order, which goes on as if it had not come.",
        "apply" => "The money counts towards the order, which is paid once nothing is due any more.",
        _ => "Nothing is done about it; it is closed.",
    }
}

/// What happens next, in a sentence.
pub fn next_step(action: &str, number: Option<u8>) -> String {
    match (action, number) {
        ("send_reminder", Some(number)) => format!("Payment reminder {number} goes out"),
        ("expire", _) => "The order expires, and its stock is released".to_owned(),
        ("end_stay", _) => "The stay is over, and the order is completed".to_owned(),
        ("await_fulfilment", _) => "It waits until the shop says that it is handed over".to_owned(),
        _ => "Nothing: the order has ended".to_owned(),
    }
}

/// By which rule of the order's policy.
pub fn rule(rule: &str, value: Option<&str>) -> String {
    let value = value.unwrap_or_default();
    match rule {
        "reminders" if value.is_empty() => "the policy's reminders".to_owned(),
        "reminders" => format!("the policy's reminder {value} after the placement"),
        "payment_window" => format!("the policy's payment window of {value}"),
        "grace" => format!("the deadline, and the policy's grace of {value} after it"),
        "arrival" => "a stay is paid by the end of the day of arrival".to_owned(),
        "extension" => "the deadline, which was extended".to_owned(),
        "fulfilment" => format!("the policy's fulfilment, {}", spoken(value)),
        other => spoken(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let said = [0, 999, 1000, -1_234_567].map(grouped);
        assert_eq!(said, ["0", "999", "1,000", "-1,234,567"]);
    }
}
