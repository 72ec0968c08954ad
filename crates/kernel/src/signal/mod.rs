//! Signals: what is pending, what is done about it, and the frame that a handler finds.

mod deliver;
mod files;
mod frame;
mod raise;
mod set;

pub(crate) use files::SignalFile;
pub(crate) use set::{Action, Cause, MAX, Pending, SI_TKILL, SI_USER, SIG_DFL, SIG_IGN, SigInfo, SigSet};
