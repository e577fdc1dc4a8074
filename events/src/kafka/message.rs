//! Records, as they are written and read.

/// A record to be written. The order of its headers is kept.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// In milliseconds since 1970; none: now.
    pub timestamp: Option<i64>,
}

impl Outgoing {
    /// About as much as it takes up in a batch.
    pub fn bytes(&self) -> usize {
        bytes(self.key.as_deref(), self.value.as_deref(), &self.headers)
    }
}

fn bytes(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(String, Option<Vec<u8>>)]) -> usize {
    let of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize = headers.iter().map(|(name, value)| name.len() + of(value.as_deref()) + 8).sum();
    of(key) + of(value) + headers + 32
}

/// A part of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    pub topic: String,
    pub number: i32,
}

/// A record that was read.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub partition: Partition,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp: i64,
}

/// How far a group is in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// All before it is done.
    pub offset: i64,
    /// What its member wrote beside it, for the next one.
    pub note: String,
}

impl Mark {
    pub const fn at(offset: i64) -> Self {
        Self { offset, note: String::new() }
    }
}

impl Incoming {
    /// About as much memory as it takes up.
    pub fn bytes(&self) -> usize {
        bytes(self.key.as_deref(), self.value.as_deref(), &self.headers)
    }

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name)?;
        std::str::from_utf8(found.1.as_deref()?).ok()
    }
}
