//! A step of a workflow may run again after a crash between its commit and its answer. So each has a test
//! that kills it there, or repeats it: here stands which one, and a step without one fails.

use std::{collections::BTreeMap, fs, path::PathBuf};

/// A step's name, and the tests that repeat it, as `file::test`.
const REPEATED: &[(&str, &[&str])] = &[
    ("reserve", &["repeats::a_worker_that_finds_its_work_done_still_tells_the_customer"]),
    (
        "settle-payment",
        &[
            "repeats::a_payment_that_paid_still_paid_when_it_is_settled_again",
            "crashes::a_worker_dies_while_a_batch_is_being_paid",
        ],
    ),
    ("decide-change", &["changes::what_a_step_has_committed_its_workflow_comes_to_know"]),
    ("extend", &["repeats::an_end_is_the_same_end_when_it_is_repeated"]),
    ("cancel", &["repeats::an_end_is_the_same_end_when_it_is_repeated"]),
    ("expire", &["repeats::an_end_is_the_same_end_when_it_is_repeated"]),
    ("close-attempts", &["crashes::a_worker_dies_before_it_heard_that_an_attempt_is_closed"]),
    ("fulfil", &["repeats::what_is_fulfilled_again_was_fulfilled_once"]),
    ("check-in", &["repeats::guests_are_in_when_they_check_in_again"]),
    ("end-stay", &["repeats::guests_are_in_when_they_check_in_again"]),
    ("send-mail", &["repeats::a_mail_is_claimed_once_and_a_reminder_only_while_it_makes_sense"]),
    ("give-up-mail", &["repeats::a_mail_is_claimed_once_and_a_reminder_only_while_it_makes_sense"]),
    ("send-code", &["accounts::a_code_that_is_mailed_again_is_the_same_one"]),
    ("end-code", &["accounts::a_code_that_is_mailed_again_is_the_same_one"]),
    ("send-code-used", &["accounts::a_code_that_is_mailed_again_is_the_same_one"]),
    ("drive-refund", &["refunds::whatever_dies_the_money_goes_back_once"]),
    ("reconcile-provider", &["reconcile::a_worker_that_dies_over_the_books_leaves_them_to_the_next"]),
];

/// Steps that change nothing, neither with us nor elsewhere.
const ONLY_READ: &[(&str, &str)] = &[("list-providers", "names what the worker is configured with")];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The steps that workflows may ask for, by what declares them.
fn declared() -> Vec<String> {
    let contract = fs::read_to_string(repository().join("workflows/src/contract.rs")).unwrap();
    let names = contract.split("#[activity(name = \"").skip(1);
    names.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn every_step_has_a_test_that_repeats_it() {
    let repeated: BTreeMap<_, _> = REPEATED.iter().copied().collect();
    let only_read: BTreeMap<_, _> = ONLY_READ.iter().copied().collect();
    let declared = declared();
    for step in &declared {
        let step = step.as_str();
        assert!(
            repeated.contains_key(step) != only_read.contains_key(step),
            "`{step}` wants a test that kills it between commit and answer, or repeats it, and a line in {}",
            file!()
        );
    }
    for step in repeated.keys().chain(only_read.keys()) {
        assert!(declared.iter().any(|it| it == step), "there is no step `{step}` any more");
    }
}

#[test]
fn the_tests_that_repeat_steps_are_there() {
    for (step, tests) in REPEATED {
        assert!(!tests.is_empty(), "{step}");
        for test in *tests {
            let (file, name) = test.split_once("::").unwrap();
            let text = fs::read_to_string(repository().join(format!("tests/{file}.rs"))).unwrap();
            let is_there = text.contains(&format!("#[tokio::test]\nasync fn {name}() {{"));
            assert!(is_there, "`{step}` is said to be repeated by {test}, which is no test");
        }
    }
}
