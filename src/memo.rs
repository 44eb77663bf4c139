//! What was worked out of states that have names of their own, so that it need not be worked out again.
//!
//! A name stands for one state for ever, in whatever process and database: what is remembered under it cannot be out of date,
//! and nobody has to say that it is. Whoever looks something up asks the database for the name first, in the snapshot
//! that everything else is read from.

use std::hash::Hash;
use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

/// Values by names, within a bound on all of them together: what is asked for most stays.
pub struct Memo<K, V>(Cache<K, Known<V>, Weight>);

/// A value and its share of the bound.
struct Known<V>(u64, Arc<V>);

impl<V> Clone for Known<V> {
    fn clone(&self) -> Self {
        Self(self.0, Arc::clone(&self.1))
    }
}

#[derive(Clone)]
struct Weight;

impl<K, V> Weighter<K, Known<V>> for Weight {
    fn weight(&self, _: &K, known: &Known<V>) -> u64 {
        known.0
    }
}

impl<K: Eq + Hash, V> Memo<K, V> {
    /// At most `bound` together, about `usual` a value.
    #[must_use]
    pub fn new(bound: u64, usual: u64) -> Self {
        let values = usize::try_from(bound / usual).expect("a small number");
        // One shard, as a value that is larger than a shard would not be kept.
        let options =
            OptionsBuilder::new().shards(1).estimated_items_capacity(values).weight_capacity(bound).build();
        let options = options.expect("all that is required is set");
        let (hashed, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self(Cache::with_options(options, Weight, hashed, lifecycle))
    }

    #[must_use]
    pub fn find(&self, name: &K) -> Option<Arc<V>> {
        self.0.get(name).map(|Known(_, value)| value)
    }

    /// Keeps a value; `weight` is its share of the bound.
    pub fn keep(&self, name: K, value: Arc<V>, weight: usize) {
        let weight = u64::try_from(weight).expect("memory is smaller").max(1);
        self.0.insert(name, Known(weight, value));
    }

    /// What is known under a name, or else what `load` answers; without a name that is not kept.
    pub async fn find_or<E>(
        &self,
        name: Option<K>,
        weigh: impl FnOnce(&V) -> usize,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<Arc<V>, E> {
        let Some(name) = name else { return load.await.map(Arc::new) };
        if let Some(value) = self.find(&name) {
            return Ok(value);
        }
        let value = Arc::new(load.await?);
        self.keep(name, Arc::clone(&value), weigh(&value));
        Ok(value)
    }
}
