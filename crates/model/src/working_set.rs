//! The working set: the pages of the last so many references. P. J. Denning, "The working set model for program behavior", CACM 11(5), 1968.

use crate::policy::Reference;
use std::collections::HashMap;

/// What a reference string needs, for one window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkingSets {
    /// The size of the working set after each reference, in pages.
    pub sizes: Vec<u32>,
    /// References to pages outside the working set at that time: the faults of a memory that holds exactly it.
    pub faults: u64,
}

impl WorkingSets {
    /// The mean size.
    pub fn mean(&self) -> f64 {
        let sum: u64 = self.sizes.iter().map(|&size| u64::from(size)).sum();
        if self.sizes.is_empty() { 0.0 } else { sum as f64 / self.sizes.len() as f64 }
    }

    /// The largest size.
    pub fn largest(&self) -> u32 {
        self.sizes.iter().copied().max().unwrap_or(0)
    }

    /// How many references were made while the working set did not fit in `frames`: memory thrashes then.
    pub fn overcommitted(&self, frames: usize) -> u64 {
        self.sizes.iter().filter(|&&size| size as usize > frames).count() as u64
    }
}

/// The working sets W(t, window) of a string: the distinct pages among the last `window` references.
pub fn working_sets(references: &[Reference], window: usize) -> WorkingSets {
    let mut inside: HashMap<u64, usize> = HashMap::new();
    let mut sets = WorkingSets { sizes: Vec::with_capacity(references.len()), faults: 0 };
    for (at, reference) in references.iter().enumerate() {
        // A page is in the set before this reference if it is among the `window` references before it.
        sets.faults += u64::from(!inside.contains_key(&reference.page()));
        *inside.entry(reference.page()).or_default() += 1;
        if at >= window {
            let old = references[at - window].page();
            let count = inside.get_mut(&old).expect("it came in a window ago");
            *count -= 1;
            if *count == 0 {
                inside.remove(&old);
            }
        }
        sets.sizes.push(inside.len() as u32);
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_set_is_what_the_definition_says() {
        let mut random = crate::Random::new(19);
        let references: Vec<Reference> = (0..500).map(|_| Reference::read(random.below(20))).collect();
        for window in [1, 3, 10, 600] {
            let sets = working_sets(&references, window);
            let mut faults = 0;
            for at in 0..references.len() {
                let distinct = |from: usize, to: usize| references[from..to].iter().collect::<HashSet<_>>();
                let last = distinct((at + 1).saturating_sub(window), at + 1);
                assert_eq!(sets.sizes[at] as usize, last.len());
                faults += u64::from(!distinct(at.saturating_sub(window), at).contains(&references[at]));
            }
            assert_eq!(sets.faults, faults);
        }
    }
}
