//! Controlling a pagewalk that runs: one line asked and one answer over a Unix socket on which only its owner is heard.
//!
//! ```text
//! pagewalk ctl 1234 maps                         pagewalk run ... (process 1234)
//!   connect  @pagewalk/UID/1234     ------->       accept
//!   ask the host who it is (SO_PEERCRED)           ask the host who it is
//!   "maps\n"                        ------->       Control::maps
//!   "ok\n" and the text             <-------       then the connection is closed
//! ```

pub mod request;
pub mod socket;

use std::time::Duration;

/// How long either side waits for the other's next bytes.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The first line of an answer to what was done.
pub const DONE: &str = "ok";
/// The first line of an answer to what was not done; a sentence says why.
pub const REFUSED: &str = "no";
