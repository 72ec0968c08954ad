//! Every textbook allocator, and a mark-sweep collector, over an arena.
#![forbid(unsafe_code)]
