//! What goes on beside a run: reports at intervals, and answers to `pagewalk ctl`.

use super::summary;
use crate::control::request::{Flow, Request};
use crate::control::socket::{Asker, OwnSocket};
use crate::control::{DONE, PATIENCE, REFUSED};
use machine::{Control, Format, Kinds, ProcessMaps, Report};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

/// The longest line that asks for something.
const MAX_REQUEST_BYTES: u64 = 64;
/// How long to wait when the host has no descriptor for a connection.
const HOST_IS_FULL: Duration = Duration::from_millis(100);

/// Reports at intervals.
pub struct Interval {
    /// From one to the next.
    pub every: Duration,
    /// Their form.
    pub format: Format,
    /// Where they go.
    pub to: Box<dyn Write + Send>,
}

impl Interval {
    /// Writes reports until every process has ended, which the last report tells.
    ///
    /// # Errors
    /// The host's, when it cannot start a thread.
    pub fn start(mut self, control: Control) -> io::Result<JoinHandle<()>> {
        Builder::new().name("reports".to_owned()).spawn(move || {
            while !control.wait_for_end(self.every) {
                let Some(report) = control.report().filter(summary::is_running) else { return };
                // Where it cannot be written there is nobody to tell.
                let _ = self.to.write_all(so_far(&report, self.format).as_bytes());
            }
        })
    }
}

/// Answers requests until this process ends.
///
/// # Errors
/// The host's, when it cannot start a thread.
pub fn serve(socket: &Arc<OwnSocket>, control: Control, events: Kinds) -> io::Result<()> {
    let socket = Arc::clone(socket);
    let serve = move || {
        loop {
            match socket.accept() {
                // Anybody may connect; what strangers ask is not read, and costs nobody a thread.
                Ok((stream, Asker::Stranger)) => say(&stream, REFUSED, "you are not its owner\n"),
                Ok((stream, asker)) => {
                    let control = control.clone();
                    let body = move || answer(&stream, asker, &control, events);
                    // Without a thread the connection is closed, and the other side says that nobody answered.
                    drop(Builder::new().name("ctl".to_owned()).spawn(body));
                }
                Err(_) => thread::sleep(HOST_IS_FULL),
            }
        }
    };
    Builder::new().name("control".to_owned()).spawn(serve)?;
    Ok(())
}

/// One connection. Errors of the connection are the other side's to notice.
fn answer(stream: &UnixStream, asker: Asker, control: &Control, events: Kinds) {
    let waits = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    let mut line = String::new();
    if waits.is_err() || BufReader::new(stream.take(MAX_REQUEST_BYTES)).read_line(&mut line).is_err() {
        return;
    }
    if asker != Asker::Owner {
        return say(stream, REFUSED, "a program does not control the machine that runs it\n");
    }
    let Ok(request) = line.trim_end().parse() else {
        return say(stream, REFUSED, "it does not know this request; is it of another version?\n");
    };
    let done = match request {
        Request::Report(format) => control.report().map(|report| so_far(&report, format)),
        Request::Maps => control.maps().map(|maps| maps_text(&maps)),
        Request::Events(Flow::On) => control.set_events(events).map(|()| String::new()),
        Request::Events(Flow::Off) => control.set_events(Kinds::NONE).map(|()| String::new()),
        Request::Stop(grace) => {
            say(stream, DONE, "");
            control.stop(grace);
            // The other side waits for the end of this process, which closes the connection.
            loop {
                thread::park();
            }
        }
    };
    match done {
        Some(text) => say(stream, DONE, &text),
        None => say(stream, REFUSED, "its programs have ended\n"),
    }
}

fn say(mut stream: &UnixStream, outcome: &str, text: &str) {
    let _ = stream.write_all(format!("{outcome}\n{text}").as_bytes());
}

/// A report while the program runs, with a final newline; as JSON, one line.
fn so_far(report: &Report, format: Format) -> String {
    match format {
        Format::Text => summary::so_far(report),
        Format::Json => format!("{}\n", report.to_json_line()),
    }
}

fn maps_text(processes: &[ProcessMaps]) -> String {
    processes.iter().fold(String::new(), |mut text, process| {
        write!(text, "process {} {}\n{}", process.pid, process.name, process.maps).expect("a string takes all text");
        text
    })
}
