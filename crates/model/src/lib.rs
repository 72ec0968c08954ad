//! Pure state machines: replacement policies, TLB, page-walk-cache and cache models.
#![forbid(unsafe_code)]
