//! What a runner is to do with the messages of its topics.

use std::time::Duration;

use super::{
    retry,
    routes::{Mode, Route},
};

/// How messages are given to their handler.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub name: String,
    pub group: String,
    /// The group whose failures are ours to try again.
    pub mark: String,
    pub topics: Vec<String>,
    /// Those that are ours to create, if they are missing.
    pub created: Vec<String>,
    pub mode: Mode,
    pub concurrency: usize,
    pub retries: u32,
    pub interval: Duration,
    /// Topics that are missing are nothing to be told of, and nobody joins the group while all are.
    pub may_be_missing: bool,
}

impl Policy {
    pub fn of(route: &Route) -> Self {
        Self {
            name: route.name.clone(),
            group: route.group.clone(),
            mark: route.group.clone(),
            topics: route.topics.clone(),
            created: Self::of_failures(&route.topics, route.mode),
            mode: route.mode,
            concurrency: route.concurrency,
            retries: route.retries,
            interval: route.retry_interval,
            may_be_missing: false,
        }
    }

    /// The topics that failures of these go to.
    pub fn of_failures(topics: &[String], mode: Mode) -> Vec<String> {
        let prefixes: &[&str] =
            if mode == Mode::Parallel { &[retry::RETRY, retry::FAIL] } else { &[retry::FAIL] };
        prefixes
            .iter()
            .flat_map(|prefix| topics.iter().map(move |topic| format!("{prefix}{topic}")))
            .collect()
    }

    /// For what is to be tried again: in a group of its own, so that it holds nothing else up. A route that
    /// puts nothing there (any more) tries once what is left from before: else nobody would read it, and it
    /// would be lost when the topic's retention ends.
    pub fn of_retries(&self) -> Self {
        let retries = if self.mode == Mode::Parallel { self.retries } else { 0 };
        Self {
            group: format!("{}-retry", self.group),
            topics: self.topics.iter().map(|topic| format!("{}{topic}", retry::RETRY)).collect(),
            mode: Mode::Parallel,
            retries,
            may_be_missing: retries == 0,
            ..self.clone()
        }
    }
}
