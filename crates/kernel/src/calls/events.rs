//! System calls as `--events calls` prints them.

use super::Args;
use crate::Errno;
use crate::kernel::Kernel;
use crate::table::{self, Kind as Argument};
use crate::task::Tid;
use addr::VirtAddr;
use trace::{Call, CallResult, Kind, What};

/// Bytes of a string that are printed.
const SHOWN_BYTES: usize = 32;
/// Bytes of a path that are printed.
const SHOWN_PATH_BYTES: usize = 256;

/// A call's arguments as they are printed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Printed {
    texts: Vec<String>,
    /// Those that the call fills: they are printed once they are there.
    filled: Vec<(usize, Argument)>,
}

impl Kernel {
    /// The arguments of a call, if calls are printed.
    pub(super) fn print_arguments(&mut self, args: &Args) -> Option<Printed> {
        if !self.config.events.contains(Kind::Calls) {
            return None;
        }
        let Some(row) = table::find(args.nr) else { return Some(Printed::default()) };
        let print = |(index, kind): (usize, &Argument)| {
            let in_words = table::words_of(row.name, index, args.at(index));
            in_words.unwrap_or_else(|| self.print_argument(args, index, *kind))
        };
        let count = row.args.len() - usize::from(has_no_mode(args));
        let texts = row.args[..count].iter().enumerate().map(print).collect();
        let kinds = row.args.iter().copied().enumerate();
        let filled = kinds.filter(|(index, kind)| kind.is_printed_after() && args.at(*index) != 0).collect();
        Some(Printed { texts, filled })
    }

    /// Notes a call with its answer; `None` for one that does not return.
    pub(super) fn note_answer(&mut self, tid: Tid, answer: Option<Result<u64, Errno>>) {
        let Some(call) = self.task(tid).call.as_mut() else { return };
        let args = Args { tid, nr: call.nr, words: call.words };
        let Some(Printed { texts: mut arguments, filled }) = call.printed.take() else { return };
        if let Some(Ok(value)) = answer {
            for (index, kind) in filled {
                if let Some(text) = self.print_filled(&args, index, kind, value) {
                    arguments[index] = text;
                }
            }
        }
        let result = match answer {
            None => CallResult::Never,
            Some(Ok(value)) => CallResult::Value(value),
            Some(Err(errno)) => CallResult::Error(error_name(errno)),
        };
        let call = Call { name: table::name_of(args.nr), arguments, result };
        self.note(tid, Kind::Calls, |_| What::Call(call));
    }

    fn print_argument(&mut self, args: &Args, index: usize, kind: Argument) -> String {
        let value = args.at(index);
        match kind {
            Argument::Value => (value as i64).to_string(),
            Argument::Int => (value as i32).to_string(),
            Argument::Fd if value as i32 == libc::AT_FDCWD => "AT_FDCWD".to_owned(),
            Argument::Fd => (value as i32).to_string(),
            Argument::Bits if value == 0 => "0".to_owned(),
            Argument::Bits => format!("{value:#x}"),
            _ if value == 0 => "NULL".to_owned(),
            Argument::Path | Argument::Text => self.print_bytes(args.tid, value, SHOWN_PATH_BYTES, End::AtZero),
            Argument::InBytes(length) => {
                let shown = (args.at(length) as usize).min(SHOWN_BYTES);
                let end = if args.at(length) as usize > shown { End::Cut } else { End::Whole };
                self.print_bytes(args.tid, value, shown, end)
            }
            _ => format!("{value:#x}"),
        }
    }

    /// The first bytes that a call has read.
    pub(super) fn print_read(&mut self, args: &Args, at: u64, bytes: u64) -> String {
        match bytes as usize {
            bytes if args.nr as i64 == libc::SYS_getcwd => {
                self.print_bytes(args.tid, at, bytes.min(SHOWN_PATH_BYTES), End::AtZero)
            }
            bytes if bytes > SHOWN_BYTES => self.print_bytes(args.tid, at, SHOWN_BYTES, End::Cut),
            bytes => self.print_bytes(args.tid, at, bytes, End::Whole),
        }
    }

    fn print_bytes(&mut self, tid: Tid, at: u64, bytes: usize, end: End) -> String {
        let mut buffer = vec![0; bytes];
        let space = self.space_of(tid);
        let done = self.mm.read(space, VirtAddr::new(at), &mut buffer);
        buffer.truncate(done);
        if done == 0 && bytes > 0 {
            return format!("{at:#x}");
        }
        if end == End::AtZero {
            let zero = buffer.iter().position(|byte| *byte == 0).unwrap_or(done);
            buffer.truncate(zero);
        }
        let quoted = format!("\"{}\"", buffer.escape_ascii());
        if end == End::Cut { quoted + "..." } else { quoted }
    }
}

/// Whether a call opens a file without making one: its last argument then means nothing.
fn has_no_mode(args: &Args) -> bool {
    let flags = match args.nr as i64 {
        libc::SYS_open => args.int(1),
        libc::SYS_openat => args.int(2),
        _ => return false,
    };
    flags & libc::O_CREAT == 0 && flags & libc::O_TMPFILE != libc::O_TMPFILE
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    AtZero,
    Whole,
    Cut,
}

fn error_name(errno: Errno) -> String {
    match errno.code() {
        512 => "ERESTARTSYS".to_owned(),
        513 => "ERESTARTNOINTR".to_owned(),
        514 => "ERESTARTNOHAND".to_owned(),
        516 => "ERESTART_RESTARTBLOCK".to_owned(),
        _ => errno.to_string(),
    }
}
