//! Events: what the machine did, as serialisable values.
#![forbid(unsafe_code)]
