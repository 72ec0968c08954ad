//! Every textbook allocator, and a mark-sweep collector, over an arena.
//!
//! An [`Allocator`] manages an [`Arena`]: bytes that grow at the top. [`Spec`] names one of the seven with its
//! parameters, as `NAME[:param=value,...]`, and opens a heap. The words of the field:
//!
//! | word | meaning |
//! |---|---|
//! | payload | the bytes that the program asked for |
//! | padding | bytes after the payload that make the block a multiple of the alignment |
//! | header, footer | the allocator's words before and after it: the block's size and whether it is allocated |
//! | boundary tag | a footer that repeats the header, so that the next block's owner can find this one |
//! | internal fragmentation | bytes of allocated blocks that are not payload: tags, padding, rounding |
//! | external fragmentation | bytes of the heap in no allocated block, though a request failed to use them |
//! | false fragmentation | free neighbours that together would do and were not coalesced |
//! | peak utilisation | the largest sum of payloads so far, over the largest heap so far |
//! | throughput | operations a second |
//!
//! Which misuse `free` and `realloc` detect; each gives the refusal of that name and leaves the heap as it was:
//!
//! | allocator | outside the heap | double free | interior pointer | smashed tag | beyond the arena |
//! |---|---|---|---|---|---|
//! | bump | yes | yes | tags | header | yes |
//! | implicit | yes | yes | tags | header, footer | yes |
//! | implicit-nofooter | yes | yes | tags | header | yes |
//! | explicit | yes | yes | tags | header, footer, links | yes |
//! | segregated-storage | yes | `checks=walk` | yes | chunk mark, links | yes |
//! | segregated-fits | yes | yes | tags | header, links | yes |
//! | buddy | yes | yes | tags | header, links | yes |
//!
//! "Tags" is detected unless the payload imitates the tags of a block; with `checks=walk` always. A double free is
//! detected as long as the block was not allocated again; then it is a free of the new block.
#![forbid(unsafe_code)]

mod allocator;
mod arena;
pub mod bench;
mod bins;
mod blocks;
mod buddy;
mod bump;
pub mod collector;
mod explicit;
mod implicit;
mod list;
mod no_footer;
mod segregated_fits;
mod segregated_storage;
mod settings;
pub mod synth;
mod tagged;
mod tagged_check;
mod tags;
mod trace;
mod words;

pub use allocator::{Allocator, Block, Counters, Ptr, Refusal, Use};
pub use arena::{Arena, ByteArena, Full, PagedArena, Quad};
pub use settings::{Checks, Coalesce, Fit, Footers, Kind, Order, Settings, Side, Spec, Split, Word};
pub use tags::{Shape, Tag};
pub use trace::{LogHead, LogParent, Malformed, Op, Recorded, Trace, Weight};
