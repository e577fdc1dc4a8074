use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::Provider;

/// The providers of this process, by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Providers {
    by_name: Arc<BTreeMap<&'static str, Arc<dyn Provider>>>,
    default: Option<&'static str>,
    shared: Arc<BTreeSet<&'static str>>,
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
        Ok(Self { by_name: Arc::new(by_name), default, shared: Arc::default() })
    }

    /// Notes whose accounts somebody else uses, too.
    ///
    /// # Errors
    /// When one is none of them.
    pub fn with_shared<'a>(self, names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let known = |name: &'a str| {
            self.by_name.get_key_value(name).map(|(name, _)| *name).ok_or_else(|| {
                let known: Vec<&str> = self.names().collect();
                format!("there is no payment provider {name}; configured: {}", known.join(", "))
            })
        };
        let shared = names.map(known).collect::<Result<_, _>>()?;
        Ok(Self { shared: Arc::new(shared), ..self })
    }

    /// Whether money that nothing connects with us is none of our business there.
    pub fn is_shared(&self, name: &str) -> bool {
        self.shared.contains(name)
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
