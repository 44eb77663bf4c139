//! Which keys came a moment ago, about.
//!
//! Senders repeat what they sent when no answer came, most of them within seconds. A key that is not in here is most
//! likely new and written as such; one that is in here is looked up first. It only guesses: what it says is never
//! believed.

use std::sync::{Arc, Mutex};

use uuid::Uuid;

/// Keys of one generation; the memory is of two.
const KEYS_MAX: usize = 500_000;

/// Words of 64 bits: 4 MB, of which each key sets three bits in one word. One key in some thousand looks as if it had
/// been there.
const WORDS: usize = 1 << 19;

/// The keys of this process, by environment apart as they are digests.
#[derive(Clone, Default)]
pub struct RecentKeys(Arc<Mutex<Generations>>);

#[derive(Default)]
struct Generations {
    /// Empty until the first key.
    current: Vec<u64>,
    previous: Vec<u64>,
    count: usize,
}

impl RecentKeys {
    /// Notes the keys, and answers those that may have come before.
    #[must_use]
    pub fn note(&self, keys: &[Uuid]) -> Vec<Uuid> {
        let mut generations = self.0.lock().expect("no thread panics while it holds the keys");
        keys.iter().filter(|key| generations.note(**key)).copied().collect()
    }
}

impl Generations {
    /// Whether the key may have come before.
    fn note(&mut self, key: Uuid) -> bool {
        if self.current.is_empty() || self.count == KEYS_MAX {
            self.previous = std::mem::replace(&mut self.current, vec![0; WORDS]);
            self.count = 0;
        }
        let (word, bits) = place_of(key);
        let is_known = |words: &Vec<u64>| words.get(word).is_some_and(|word| word & bits == bits);
        let may_be_known = is_known(&self.current) || is_known(&self.previous);
        self.current[word] |= bits;
        self.count += 1;
        may_be_known
    }
}

/// The word and the bits of a key; it is a digest, so any of its bits are as good as a hash. Sorted keys touch the words
/// in their order.
fn place_of(key: Uuid) -> (usize, u64) {
    let (high, low) = key.as_u64_pair();
    let word = usize::try_from(high >> (64 - WORDS.ilog2())).expect("smaller than the number of words");
    (word, 1 << (low & 63) | 1 << (low >> 6 & 63) | 1 << (low >> 12 & 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::digest;

    fn keys(range: std::ops::Range<u32>) -> Vec<Uuid> {
        range.map(|number| digest(&[&number.to_be_bytes()])).collect()
    }

    #[test]
    fn a_key_is_remembered_for_a_generation_at_least_and_others_rarely_seem_known() {
        let recent = RecentKeys::default();
        let all = keys(0..400_000);
        let guessed = recent.note(&all).len();
        assert!(guessed < all.len() / 500, "{guessed} new keys seemed known");
        assert_eq!(recent.note(&all[..1000]).len(), 1000);
        assert!(recent.note(&keys(400_000..800_000)).len() < 800);
        assert_eq!(recent.note(&all[300_000..301_000]).len(), 1000, "of the generation before");
        assert!(recent.note(&keys(800_000..2_000_000)).len() < 2400);
        assert!(recent.note(&all[..1000]).len() < 10, "forgotten");
    }
}
