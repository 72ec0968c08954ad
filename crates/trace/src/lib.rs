//! Events: what the machine did, as serialisable values.
//!
//! An [`Event`] says when, in which guest process and thread, and what: a fault, a change of an area, a system call, a
//! switch of a virtual CPU. It prints as one line of text, in which a call reads as strace prints it, and serialises
//! as one object a line (NDJSON). The example of ARCHITECTURE.md, `*p = 0`, is this event:
//! ```
//! use addr::{Access, VirtAddr};
//! use pagewalk_trace::{Cost, Event, Fault, FaultKind, What};
//! let fault = Fault {
//!     addr: VirtAddr::new(0x7fff_f7fc_3010),
//!     access: Access::Write,
//!     kind: FaultKind::ZeroFill,
//!     cost: Cost::Minor,
//!     rip: VirtAddr::new(0x5555_5555_513d),
//! };
//! let event = Event { at_ns: 1_500_000, pid: 2, tid: 2, what: What::Fault(fault) };
//! assert_eq!(event.to_string(), "[2] fault: write at 0x7ffff7fc3010, zero_fill, minor, by 0x55555555513d");
//! ```
#![forbid(unsafe_code)]

mod event;
mod fault_counts;
mod kinds;
mod ndjson;
mod text;
mod words;

pub use event::{AreaChange, AreaVerb, Call, CallResult, Cost, Event, Fault, FaultKind, Switch, What};
pub use fault_counts::FaultCounts;
pub use kinds::{Kind, Kinds, UnknownKind};
pub use ndjson::{to_ndjson, version_line};
