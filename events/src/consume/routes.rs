//! The file of routes: which messages go where (docs/kafka.md).

use std::{collections::HashSet, time::Duration};

use serde::Deserialize;
use url::Url;

use super::retry::{FAIL, RETRY};

/// Messages that fail are not tried again sooner, where it counts.
pub const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(45);
const DEFAULT_RETRIES: u32 = 3;
const MAX_RETRIES: u32 = 100;
const MAX_RETRY_INTERVAL: Duration = Duration::from_hours(24);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_TIMEOUT: Duration = Duration::from_mins(2);
const DEFAULT_CONCURRENCY: usize = 16;
const MAX_CONCURRENCY: usize = 500;
const MAX_ROUTES: usize = 100;
/// Kafka's own.
const MAX_TOPIC_BYTES: usize = 249 - RETRY.len();
const MAX_NAME_BYTES: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As fast as the service takes them, in no order; what fails is tried again later by way of a topic.
    Parallel,
    /// One at a time of each key, in its order; what fails is tried again before the next one of its key.
    Ordered,
}

/// Where messages of some topics go.
#[derive(Debug, Clone)]
pub struct Route {
    /// In metrics, logs and headers.
    pub name: String,
    pub topics: Vec<String>,
    pub group: String,
    pub url: Url,
    pub mode: Mode,
    /// So many requests at a time.
    pub concurrency: usize,
    pub timeout: Duration,
    /// So often is tried again what failed.
    pub retries: u32,
    pub retry_interval: Duration,
    /// Which headers are forwarded besides those of CloudEvents and traces; a name may end with `*`. None:
    /// all.
    pub headers: Option<Vec<String>>,
}

pub struct Routes(pub Vec<Route>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    route: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    topics: Vec<String>,
    group: String,
    url: String,
    mode: Mode,
    concurrency: Option<usize>,
    timeout_s: Option<u64>,
    retries: Option<u32>,
    retry_interval_s: Option<u64>,
    headers: Option<Vec<String>>,
}

impl Routes {
    /// Reads the file's text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, may_be_short: bool) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.route.is_empty() || file.route.len() > MAX_ROUTES {
            return Err(format!("there must be a [[route]], and {MAX_ROUTES} at most"));
        }
        let (mut names, mut read) = (HashSet::new(), HashSet::new());
        let mut routes = Vec::new();
        for entry in file.route {
            let name = entry.name.clone();
            if !names.insert(name.clone()) {
                return Err(format!("two routes are called `{name}`"));
            }
            for topic in &entry.topics {
                // Each would get some of its messages, as it happens.
                if !read.insert((entry.group.clone(), topic.clone())) {
                    return Err(format!("route `{name}`: its group reads `{topic}` already"));
                }
            }
            routes.push(entry.route(may_be_short).map_err(|why| format!("route `{name}`: {why}"))?);
        }
        Ok(Self(routes))
    }
}

impl Entry {
    fn route(self, may_be_short: bool) -> Result<Route, String> {
        check_name("name", &self.name)?;
        check_name("group", &self.group)?;
        check_topics(&self.topics)?;
        let url = Url::parse(&self.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or("`url` must begin with http:// or https://")?;
        let concurrency = self.concurrency.unwrap_or(DEFAULT_CONCURRENCY);
        let timeout = self.timeout_s.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
        let retries = self.retries.unwrap_or(DEFAULT_RETRIES);
        let retry_interval = self.retry_interval_s.map_or(MIN_RETRY_INTERVAL, Duration::from_secs);
        within("concurrency", concurrency as u64, 1, MAX_CONCURRENCY as u64)?;
        within("timeout_s", timeout.as_secs(), 1, MAX_TIMEOUT.as_secs())?;
        within("retries", retries.into(), 0, MAX_RETRIES.into())?;
        let shortest = if may_be_short { 0 } else { MIN_RETRY_INTERVAL.as_secs() };
        within("retry_interval_s", retry_interval.as_secs(), shortest, MAX_RETRY_INTERVAL.as_secs())?;
        let headers = self.headers.map(|names| names.iter().map(|it| it.to_ascii_lowercase()).collect());
        Ok(Route {
            name: self.name,
            topics: self.topics,
            group: self.group,
            url,
            mode: self.mode,
            concurrency,
            timeout,
            retries,
            retry_interval,
            headers,
        })
    }
}

fn check_name(field: &str, name: &str) -> Result<(), String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_good) {
        true => Ok(()),
        false => {
            Err(format!("`{field}` must be of letters, digits, `.`, `_` and `-`, 1 to {MAX_NAME_BYTES}"))
        }
    }
}

fn check_topics(topics: &[String]) -> Result<(), String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if topics.is_empty() {
        return Err("`topics` names none".to_owned());
    }
    for topic in topics {
        if topic.is_empty() || topic.len() > MAX_TOPIC_BYTES || !topic.chars().all(is_good) {
            return Err(format!("`{topic}` is no name of a topic"));
        }
        if topic.starts_with(RETRY) || topic.starts_with(FAIL) {
            return Err(format!("`{topic}` is a topic of failures: see --replay-failed"));
        }
    }
    Ok(())
}

fn within(field: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(format!("`{field}` must be {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = "[[route]]\nname = \"billing\"\ntopics = [\"holdfast.orders\"]\ngroup = \"billing\"\n\
                         url = \"http://127.0.0.1:3000/orders\"\nmode = \"ordered\"\n";

    #[test]
    fn what_is_left_out_has_a_default() {
        let Routes(routes) = Routes::parse(ROUTE, false).unwrap();
        let route = &routes[0];
        assert_eq!((route.mode, route.retries, route.concurrency), (Mode::Ordered, 3, 16));
        assert_eq!(route.retry_interval, Duration::from_secs(45));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (line, told) in [
            ("retry_interval_s = 44", "`retry_interval_s` must be 45 to 86400"),
            ("retries = 101", "`retries` must be 0 to 100"),
            ("concurrency = 0", "`concurrency` must be 1 to 500"),
            ("retrys = 1", "unknown field `retrys`"),
            ("timeout_s = 121", "`timeout_s` must be 1 to 120"),
        ] {
            let told_us = Routes::parse(&format!("{ROUTE}{line}\n"), false).err().unwrap();
            assert!(told_us.contains(told), "{told_us}");
        }
        let twice = Routes::parse(&format!("{ROUTE}{ROUTE}"), false).err().unwrap();
        assert_eq!(twice, "two routes are called `billing`");
        let shared = format!("{ROUTE}{}", ROUTE.replace("\"billing\"\ntopics", "\"other\"\ntopics"));
        let shared = Routes::parse(&shared, false).err().unwrap();
        assert_eq!(shared, "route `other`: its group reads `holdfast.orders` already");
        let short = format!("{ROUTE}retry_interval_s = 1\n");
        assert!(Routes::parse(&short, true).is_ok());
        let of_failures = ROUTE.replace("holdfast.orders", "fail-x");
        assert!(Routes::parse(&of_failures, false).err().unwrap().contains("--replay-failed"));
        assert!(Routes::parse("", false).is_err());
    }
}
