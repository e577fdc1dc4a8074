//! Where partitions begin and end, and how far groups are in them.

use std::{collections::BTreeMap, ops::Range};

use krafka::{
    admin::{ListConsumerGroupOffsetsOptions, ListOffsetsOptions, OffsetSpec},
    consumer::TopicPartition,
};

use super::{Cluster, Error, Group, REQUEST_TIMEOUT, Result};
use crate::kafka::{Mark, Partition};

fn theirs(partition: &Partition) -> TopicPartition {
    TopicPartition::new(partition.topic.clone(), partition.number)
}

fn ours(partition: &TopicPartition) -> Partition {
    Partition { topic: partition.topic().to_owned(), number: partition.partition() }
}

impl Cluster {
    /// What a group has committed of these partitions. Those of which it has committed nothing are left out.
    pub async fn marks<'p>(
        &self,
        group: &str,
        partitions: impl Iterator<Item = &'p Partition>,
    ) -> Result<BTreeMap<Partition, Mark>> {
        let partitions: Vec<TopicPartition> = partitions.map(theirs).collect();
        let options = ListConsumerGroupOffsetsOptions::default();
        let options = options.timeout(REQUEST_TIMEOUT).partitions(partitions);
        let listed = self.kafka.admin().list_consumer_group_offsets(group, options).await?;
        let mut marks = BTreeMap::new();
        for (partition, committed) in listed {
            let committed = committed?;
            if let Some(offset) = committed.offset {
                let mark = Mark { offset, note: committed.metadata.unwrap_or_default() };
                marks.insert(ours(&partition), mark);
            }
        }
        Ok(marks)
    }

    /// Of each partition of these topics: from its first record up to where the next one is written.
    pub async fn bounds(&self, topics: &[String]) -> Result<BTreeMap<Partition, Range<i64>>> {
        let counts = self.partitions(topics).await?.into_iter();
        let all: Vec<Partition> = counts
            .flat_map(|(topic, count)| {
                let numbers = 0..i32::try_from(count.unwrap_or(0)).unwrap_or(i32::MAX);
                numbers.map(move |number| Partition { topic: topic.clone(), number })
            })
            .collect();
        let (starts, ends) = tokio::try_join!(
            self.offsets(&all, OffsetSpec::Earliest),
            self.offsets(&all, OffsetSpec::Latest)
        )?;
        let bounds = ends.into_iter().map(|(partition, end)| {
            let start = starts.get(&partition).copied().unwrap_or(0);
            (partition, start..end)
        });
        Ok(bounds.collect())
    }

    async fn offsets(&self, of: &[Partition], spec: OffsetSpec) -> Result<BTreeMap<Partition, i64>> {
        let specs = of.iter().map(|partition| (theirs(partition), spec));
        let options = ListOffsetsOptions::default().timeout(REQUEST_TIMEOUT);
        let listed = self.kafka.admin().list_offsets(specs, options).await?;
        listed
            .into_iter()
            .map(|(partition, listed)| Ok::<_, Error>((ours(&partition), listed?.offset)))
            .collect()
    }
}

impl Group {
    /// Which record of each assigned partition is read next; without those of which that is not known yet.
    pub async fn positions(&self) -> BTreeMap<Partition, i64> {
        let lag = self.consumer.lag().await;
        lag.iter().filter_map(|(partition, lag)| Some((ours(partition), lag.position?))).collect()
    }
}
