//! Pure state machines: replacement policies, TLB, page-walk-cache and cache models.
//!
//! A model is told what happened and answers with values; the live kernel and a replay drive the same code. Nothing
//! here allocates per reference.
#![forbid(unsafe_code)]

mod associative;
mod bits;
mod cache;
mod page_map;
pub mod policies;
mod policy;
mod random;
mod slots;
mod tlb;
mod translation;
mod walk_cache;
mod working_set;

pub use associative::{Associative, Shape, WayReplacement};
pub use cache::{By, CacheCounts, CacheLevel, Caches, Inclusion, Line, LineName, Movement, Where, WritePolicy};
pub use policies::{PolicyKind, Settings};
pub use policy::{Marks, Outcome, Policy, Reference, Residency, TestAndClear};
pub use random::Random;
pub use tlb::{Asid, Keep, Scope, Serves, TlbCounts, TlbEntry, TlbStructure, Tlbs};
pub use translation::{EntryRead, Translated, TranslationModel};
pub use walk_cache::{WalkCache, WalkCaches};
pub use working_set::{WorkingSets, working_sets};
