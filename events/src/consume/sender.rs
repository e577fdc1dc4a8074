//! Writes failures, with another producer once one has failed.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::kafka::{Cluster, Error, Outgoing, Producer};

pub(super) struct Sender {
    cluster: Cluster,
    producer: Mutex<Arc<Producer>>,
}

impl Sender {
    pub async fn new(cluster: Cluster) -> Result<Self, Error> {
        let producer = Mutex::new(Arc::new(cluster.sender().await?));
        Ok(Self { cluster, producer })
    }

    /// Writes a record. A producer that could not is not used again: it may be fenced, or out of step.
    pub async fn send(&self, record: Outgoing) -> Result<(), Error> {
        let producer = self.producer.lock().await.clone();
        let sent = producer.send(record).await;
        if let Err(error) = &sent
            && !error.is_of_record()
        {
            let mut current = self.producer.lock().await;
            if Arc::ptr_eq(&current, &producer) {
                // What others are writing with the old one goes on; it ends with the last of them.
                *current = Arc::new(self.cluster.sender().await?);
            }
        }
        sent
    }
}
