//! The modes of the terminal, which a program may change and not put back.

use std::io;
use std::mem::MaybeUninit;

/// The modes that the terminal had.
pub struct TerminalModes {
    modes: libc::termios,
}

impl TerminalModes {
    /// Those of the terminal that is standard input, if one is.
    pub fn of_stdin() -> Option<Self> {
        let mut modes = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the host fills the buffer or fails; it is read only after success.
        let modes = unsafe { (libc::tcgetattr(0, modes.as_mut_ptr()) == 0).then(|| modes.assume_init())? };
        Some(Self { modes })
    }

    /// Puts them back, if this process is in the terminal's foreground. Another one's terminal is left alone.
    ///
    /// # Errors
    /// The host's.
    pub fn put_back(&self) -> io::Result<()> {
        // SAFETY: asks for numbers.
        let is_ours = unsafe { libc::tcgetpgrp(0) == libc::getpgrp() };
        if !is_ours {
            return Ok(());
        }
        // SAFETY: reads modes that the host gave.
        let answer = unsafe { libc::tcsetattr(0, libc::TCSANOW, &raw const self.modes) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
