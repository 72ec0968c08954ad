//! `--step`: one step at a time, on and back.

use crate::failure::Failure;
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use explain::{Ink, Story, text};
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

/// As a shell reports a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;
/// As a shell reports a program that SIGTERM has ended.
const TERMINATED: u8 = 143;

/// What a key means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    On,
    Back,
    Quit,
    Interrupt,
}

/// Keys of a terminal as they are pressed, or the bytes of a file.
struct Keys<R> {
    input: R,
    mode: Mode,
    typed: VecDeque<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Terminal,
    File,
}

/// The terminal gives each key at once, until this is dropped.
struct RawMode;

/// Shows the steps one by one and waits for a key after each.
pub fn run(story: &Story, ink: Ink) -> Result<ExitCode, Failure> {
    let mode = if io::stdin().is_terminal() { Mode::Terminal } else { Mode::File };
    if mode == Mode::Terminal {
        leave_the_terminal_sane()?;
    }
    let mut keys = Keys { input: io::stdin().lock(), mode, typed: VecDeque::new() };
    match show(story, ink, &mut keys, &mut io::stdout().lock()) {
        Ok(Key::Interrupt) => Ok(ExitCode::from(INTERRUPTED)),
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::cannot_run(format!("cannot show the steps: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A signal ends the program only after the terminal has its modes again.
fn leave_the_terminal_sane() -> Result<(), Failure> {
    let ended = ctrlc::set_handler(|| {
        drop(RawMode);
        std::process::exit(TERMINATED.into());
    });
    ended.map_err(|error| Failure::cannot_run(format!("cannot wait for signals: {error}")))
}

/// The key that ended it.
fn show(story: &Story, ink: Ink, keys: &mut Keys<impl Read>, screen: &mut impl Write) -> io::Result<Key> {
    write!(screen, "{}", text::heading(story, ink))?;
    let mut at = 0;
    while let Some(step) = story.steps.get(at) {
        write!(screen, "\n{}", text::step(step, ink))?;
        write!(screen, "[{} of {}] any key: on, b: back, q: quit ", at + 1, story.steps.len())?;
        screen.flush()?;
        let key = keys.next()?;
        writeln!(screen)?;
        match key {
            Key::On => at += 1,
            Key::Back => at = at.saturating_sub(1),
            Key::Quit | Key::Interrupt => return Ok(key),
        }
    }
    Ok(Key::On)
}

impl<R: Read> Keys<R> {
    /// Waits for a key. The end of the input quits.
    fn next(&mut self) -> io::Result<Key> {
        if self.typed.is_empty() {
            let mut bytes = [0; 16];
            let _raw = (self.mode == Mode::Terminal).then(RawMode::enter).transpose()?;
            let count = self.input.read(&mut bytes)?;
            self.typed.extend(&bytes[..count]);
        }
        Ok(self.decode())
    }

    fn decode(&mut self) -> Key {
        match self.typed.pop_front() {
            None | Some(b'q' | 4) => Key::Quit,
            Some(3) => Key::Interrupt,
            Some(b'b' | 8 | 0x7f) => Key::Back,
            // An arrow is escape, [ and a letter.
            Some(0x1b) if self.typed.front() == Some(&b'[') => {
                self.typed.pop_front();
                if self.typed.pop_front() == Some(b'D') { Key::Back } else { Key::On }
            }
            Some(_) => Key::On,
        }
    }
}

impl RawMode {
    fn enter() -> io::Result<Self> {
        enable_raw_mode().map(|()| Self)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use explain::Step;

    fn shown(typed: &[u8]) -> (Vec<String>, Key) {
        let steps = (1..=3).map(|number| Step { number, ..Step::new("step") }).collect();
        let story = Story { title: "t".into(), source: String::new(), steps };
        let (mut screen, mut keys) = (Vec::new(), Keys { input: typed, mode: Mode::File, typed: VecDeque::new() });
        let last = show(&story, Ink::Plain, &mut keys, &mut screen).expect("it is only text");
        let screen = String::from_utf8(screen).expect("it is text");
        (screen.lines().filter(|line| line.contains(". step")).map(str::to_string).collect(), last)
    }

    #[test]
    fn keys_go_on_and_back() {
        assert_eq!(
            shown(b"  \x1b[D q"),
            (["1. step", "2. step", "3. step", "2. step", "3. step"].map(Into::into).into(), Key::Quit)
        );
        assert_eq!(
            shown(b"bxb\x03"),
            (["1. step", "1. step", "2. step", "1. step"].map(Into::into).into(), Key::Interrupt)
        );
        assert_eq!(shown(b"xyz").0.len(), 3);
        assert_eq!(shown(b"").1, Key::Quit);
    }
}
