//! Where a case can be run.

use super::arena::ArenaPage;
use super::case::Case;
use super::outcome::Outcome;
use std::io;

/// A CPU with the arena: the host's, or ours.
pub trait World {
    /// Puts code, registers and memory as the case has them, and runs it.
    ///
    /// # Errors
    /// The host's; never the case's.
    fn start(&mut self, case: &Case) -> io::Result<Outcome>;

    /// Goes on after a fault, from the very state at which the last run stopped.
    ///
    /// # Errors
    /// The host's; never the case's.
    fn resume(&mut self) -> io::Result<Outcome>;

    /// Lets loads and stores to a page through.
    ///
    /// # Errors
    /// The host's.
    fn repair(&mut self, page: ArenaPage) -> io::Result<()>;

    /// Undoes [`World::repair`].
    ///
    /// # Errors
    /// The host's.
    fn damage(&mut self, page: ArenaPage) -> io::Result<()>;
}
