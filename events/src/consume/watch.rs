//! Whether the topics are what they were. A member of a group is given the partitions that there were when it
//! joined: of a topic that is created or made wider later it would read nothing.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use crate::kafka::{Cluster, Error};

const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How many partitions each topic had; none: it was missing.
pub(super) struct Watch {
    cluster: Cluster,
    topics: Vec<String>,
    seen: BTreeMap<String, Option<usize>>,
}

impl Watch {
    /// Looks for the first time: before the group is joined, so that nothing comes in between.
    pub async fn new(cluster: Cluster, topics: &[String]) -> Result<Self, Error> {
        let seen = cluster.partitions(topics).await?;
        Ok(Self { cluster, topics: topics.to_vec(), seen })
    }

    pub fn missing(&self) -> Vec<String> {
        self.seen.iter().filter(|(_, count)| count.is_none()).map(|(topic, _)| topic.clone()).collect()
    }

    /// Ends once they are other than they were.
    pub async fn changed(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            // If it cannot be seen now, it is later.
            let Ok(now) = self.cluster.partitions(&self.topics).await else { continue };
            if is_other(&self.seen, &now) {
                return;
            }
        }
    }
}

/// What we may not look at now, or might not then, is no change.
fn is_other(then: &BTreeMap<String, Option<usize>>, now: &BTreeMap<String, Option<usize>>) -> bool {
    now.iter().any(|(topic, count)| then.get(topic).is_some_and(|then| then != count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_comes_or_grows_is_seen() {
        let of = |counts: &[(&str, Option<usize>)]| -> BTreeMap<String, Option<usize>> {
            counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
        };
        let then = of(&[("a", Some(3)), ("b", None)]);
        for (now, is_changed) in [
            (&[("a", Some(3)), ("b", None)][..], false),
            (&[("a", Some(3)), ("b", Some(1))], true),
            (&[("a", Some(4)), ("b", None)], true),
            (&[("a", Some(3)), ("c", Some(1))], false),
            (&[], false),
        ] {
            assert_eq!(is_other(&then, &of(now)), is_changed, "{now:?}");
        }
    }
}
