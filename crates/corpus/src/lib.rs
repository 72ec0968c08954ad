//! Real programs as data, each run natively and under pagewalk, and compared.
//!
//! A case is a shell script of `cases/*.sh`. It runs twice in a fresh folder at the same path, once natively and once
//! under `pagewalk run --quiet`; standard output, standard error, exit status and every file it leaves must be equal
//! after the filters that its header lists. `cargo xtask corpus` runs all of them and keeps the table; those marked
//! `quick` are tests.
#![forbid(unsafe_code)]

mod case;
mod compare;
mod files;
mod trial;

pub use case::{Case, all};
pub use compare::{Equality, Verdict};
pub use trial::{Restart, Runner, Timer, search_path};
