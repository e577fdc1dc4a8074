use std::{collections::BTreeMap, sync::Arc};

use crate::Provider;

/// The providers of this process, by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Providers {
    by_name: Arc<BTreeMap<&'static str, Arc<dyn Provider>>>,
    default: Option<&'static str>,
}

impl Providers {
    /// Without a `default`, a single provider is the default one.
    ///
    /// # Errors
    /// When the default is none of them.
    pub fn new(providers: Vec<Arc<dyn Provider>>, default: Option<&str>) -> Result<Self, String> {
        let by_name: BTreeMap<_, _> =
            providers.into_iter().map(|provider| (provider.name(), provider)).collect();
        let default = match default {
            Some(name) => Some(by_name.get_key_value(name).map(|(name, _)| *name).ok_or_else(|| {
                let known: Vec<&str> = by_name.keys().copied().collect();
                format!("there is no payment provider {name}; configured: {}", known.join(", "))
            })?),
            None if by_name.len() == 1 => by_name.keys().next().copied(),
            None => None,
        };
        Ok(Self { by_name: Arc::new(by_name), default })
    }

    pub fn get(&self, name: &str) -> Option<&dyn Provider> {
        self.by_name.get(name).map(|provider| &**provider)
    }

    /// Of orders that name none.
    pub fn default_name(&self) -> Option<&'static str> {
        self.default
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }
}
