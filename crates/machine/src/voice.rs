//! What pagewalk says while the guest runs: events and warnings.
//!
//! Guest threads stand in descriptor tables of their own, in which pagewalk's files are closed; so one thread, in
//! pagewalk's table, writes for all of them, in the order in which they spoke.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;
use trace::{Event, Kind, Kinds, What};

/// Lines that may wait to be written before a speaker waits itself.
const MAX_WAITING_LINES: usize = 4096;

/// Text or NDJSON.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Which events are written, where and how.
pub struct EventLog {
    /// Which, until [`crate::Control::set_events`] says otherwise.
    pub kinds: Kinds,
    /// How.
    pub format: Format,
    /// Where.
    pub to: Box<dyn Write + Send>,
}

/// The thread that writes.
pub struct Voice {
    kinds: AtomicU8,
    started: Instant,
    lines: SyncSender<Line>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

enum Line {
    Event(Event),
    Warning(String),
    End,
}

/// The next line. Before the writer waits for one, what is written already reaches its file.
fn next_line(waiting: &Receiver<Line>, events: &mut Option<EventWriter>) -> Line {
    waiting.try_recv().unwrap_or_else(|_| {
        events.iter_mut().for_each(EventWriter::flush);
        // Without a speaker there is nothing more to write.
        waiting.recv().unwrap_or(Line::End)
    })
}

impl Voice {
    /// Starts the writer. Warnings go to stderr, unless `warnings` says otherwise.
    ///
    /// # Errors
    /// The host's, when it cannot start a thread.
    pub fn start(log: Option<EventLog>, warnings: Warnings) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(MAX_WAITING_LINES);
        let kinds = log.as_ref().map_or(Kinds::NONE, |log| log.kinds);
        let mut events = log.map(EventWriter::new);
        let writer = Builder::new().name("voice".to_owned()).spawn(move || {
            loop {
                match next_line(&waiting, &mut events) {
                    Line::Event(event) => events.iter_mut().for_each(|events| events.write(&event)),
                    Line::Warning(warning) if warnings == Warnings::Said => eprintln!("pagewalk: {warning}"),
                    Line::Warning(_) => {}
                    Line::End => break,
                }
            }
            events.iter_mut().for_each(EventWriter::flush);
        })?;
        Ok(Self {
            kinds: AtomicU8::new(kinds.bits()),
            started: Instant::now(),
            lines,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Whether events of a kind are wanted at all; asked before the trouble of making one.
    pub fn wants(&self, kind: Kind) -> bool {
        self.kinds().contains(kind)
    }

    /// Whether any event is wanted.
    pub fn wants_any(&self) -> bool {
        !self.kinds().is_empty()
    }

    /// Which events are wanted from now on.
    pub fn set_kinds(&self, kinds: Kinds) {
        self.kinds.store(kinds.bits(), Ordering::Relaxed);
    }

    fn kinds(&self) -> Kinds {
        Kinds::from_bits(self.kinds.load(Ordering::Relaxed))
    }

    /// Writes an event if its kind is wanted.
    pub fn event(&self, pid: u32, tid: u32, what: What) {
        if self.wants(what.kind()) {
            let at_ns = self.started.elapsed().as_nanos() as u64;
            self.say(Line::Event(Event { at_ns, pid, tid, what }));
        }
    }

    /// Says a sentence on stderr.
    pub fn warn(&self, sentence: impl Into<String>) {
        self.say(Line::Warning(sentence.into()));
    }

    /// Waits until everything that was said is written; nothing is written after that.
    pub fn finish(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            self.say(Line::End);
            // A panic of the writer has been printed already, and nothing of the guest's depends on it.
            let _ = writer.join();
        }
    }

    fn say(&self, line: Line) {
        // Nobody listens only if the writer panicked, which has been printed.
        let _ = self.lines.send(line);
    }
}

/// Whether warnings are printed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Warnings {
    /// On stderr.
    #[default]
    Said,
    /// Not at all.
    Quiet,
}

struct EventWriter {
    format: Format,
    to: Box<dyn Write + Send>,
    begun: bool,
}

impl EventWriter {
    fn new(log: EventLog) -> Self {
        Self { format: log.format, to: log.to, begun: false }
    }

    fn write(&mut self, event: &Event) {
        if !std::mem::replace(&mut self.begun, true) && self.format == Format::Json {
            self.line(&trace::version_line());
        }
        match self.format {
            Format::Text => self.line(&event.to_string()),
            Format::Json => self.line(&trace::to_ndjson(event)),
        }
    }

    /// A full disk or a closed pipe must not end the guest: the events are lost.
    fn line(&mut self, line: &str) {
        let _ = self.to.write_all(format!("{line}\n").as_bytes());
    }

    fn flush(&mut self) {
        let _ = self.to.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use trace::Switch;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_wanted_events_are_written_and_all_of_them() {
        let written = Shared::default();
        let kinds = Kinds::NONE.with(Kind::Switches);
        let log = EventLog { kinds, format: Format::Text, to: Box::new(written.clone()) };
        let voice = Voice::start(Some(log), Warnings::Quiet).unwrap();
        assert!(!voice.wants(Kind::Calls));
        voice.event(2, 2, What::Switch(Switch { cpu: 0, from_tid: None }));
        voice.warn("nobody hears this");
        voice.finish();
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "[2] switch: cpu 0, was idle\n");
    }
}
