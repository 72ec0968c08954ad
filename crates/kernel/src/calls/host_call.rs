//! Calls that the host executes, built from the table: buffers are copied in before and out after.

use super::buffers::MAX_TRANSFER_BYTES;
use super::cut::{Content, Extent};
use super::files::Changed;
use super::opened::Closed;
use super::{Args, ERESTARTNOINTR, ERESTARTSYS, Flow, socket_options};
use crate::Errno;
use crate::kernel::Kernel;
use crate::mm::{FileId, SpaceId};
use crate::outcome::{CopyLength, CopyOut, HostCall, Then};
use crate::table::{Kind, Row};
use crate::task::Tid;
use addr::{PAGE_BYTES, Perms, VirtAddr};
use host::call::{Arg, Call, NOT_BEGUN};

/// The longest path, with its final zero.
pub(super) const PATH_BYTES: usize = 4096;
/// Largest buffer of the other kinds.
const MAX_BUFFER_BYTES: u64 = 1 << 20;

impl Kernel {
    /// A call that the table describes.
    pub(super) fn host_row(&mut self, args: &Args, row: &Row) -> Result<Flow, Errno> {
        if let Some(flow) = self.proc_call(args, row)? {
            return Ok(flow);
        }
        socket_options::check(args)?;
        self.note_socket(args);
        let Changed { file, device } = self.file_before(args)?;
        let args = &self.next_part(args);
        let args = &self.within_memory(args, device)?;
        let mut call = Call::plain(args.nr, args.words);
        let mut copies = Vec::new();
        for (index, kind) in row.args.iter().enumerate() {
            call.args[index] = self.argument(args, row, index, *kind, &mut call, &mut copies)?;
        }
        let then = match file {
            None if self.may_take_terminal(args)? => Then::OpenedByLeader,
            _ => then(copies, file),
        };
        let call = super::opened::without_magic_links(call);
        self.refuse_running_program(&call)?;
        Ok(Flow::host(call, then))
    }

    fn argument(
        &mut self,
        args: &Args,
        row: &Row,
        index: usize,
        kind: Kind,
        call: &mut Call,
        copies: &mut Vec<CopyOut>,
    ) -> Result<Arg, Errno> {
        let (value, kind) = (args.at(index), kind.transferred());
        let space = self.space_of(args.tid);
        if matches!(kind, Kind::Value | Kind::Bits | Kind::Fd | Kind::Address) {
            // A length may have been cut to what can be transferred.
            return Ok(call.args[index]);
        }
        if value == 0 {
            return Ok(Arg::Value(0));
        }
        let limited = |length: u64| if length > MAX_BUFFER_BYTES { Err(Errno::EINVAL) } else { Ok(length as usize) };
        let out = |call: &mut Call, copies: &mut Vec<CopyOut>, bytes: Vec<u8>, length| {
            copies.push(CopyOut { buffer: call.buffers.len(), to: value, length });
            call.buffer(bytes)
        };
        Ok(match kind {
            Kind::Value | Kind::Bits | Kind::Fd | Kind::Address => unreachable!("answered above"),
            Kind::Int
            | Kind::OutPair
            | Kind::OutStat
            | Kind::OutStatus
            | Kind::OutSiginfo
            | Kind::OutVectors(_)
            | Kind::OutMessage => unreachable!("these are transferred as others"),
            Kind::Path => {
                let path = self.mm.read_cstr(space, VirtAddr::new(value), PATH_BYTES)?;
                let mut path = self.host_path(args, row, index, path)?;
                if path == b"/dev/tty" {
                    path = self.controlling_terminal(args)?;
                }
                path.push(0);
                call.buffer(path)
            }
            Kind::Text => {
                let mut text = self.mm.read_cstr(space, VirtAddr::new(value), PATH_BYTES)?;
                text.push(0);
                call.buffer(text)
            }
            Kind::In(bytes) => call.buffer(self.bytes_in(space, value, bytes)?),
            Kind::InArray(count, bytes) => {
                let length = limited(args.at(count).saturating_mul(bytes as u64))?;
                call.buffer(self.bytes_in(space, value, length)?)
            }
            Kind::Out(bytes) => out(call, copies, vec![0; bytes], CopyLength::Whole),
            Kind::InOut(bytes) => {
                let bytes = self.bytes_in(space, value, bytes)?;
                out(call, copies, bytes, CopyLength::Whole)
            }
            Kind::InBytes(length) => {
                let wanted = args.at(length);
                let bytes = self.readable_part(space, value, wanted)?.transferred(args)?;
                if matches!(row.args.get(length), Some(Kind::Value)) {
                    call.args[length] = Arg::Value(bytes.len() as u64);
                }
                call.buffer(bytes)
            }
            Kind::OutBytes(length) => {
                let bytes = self.writable_part(space, value, args.at(length).min(MAX_TRANSFER_BYTES))?;
                call.args[length] = Arg::Value(bytes);
                out(call, copies, vec![0; bytes as usize], CopyLength::Result)
            }
            Kind::OutArray(count, bytes) => {
                let length = limited(args.at(count).saturating_mul(bytes as u64))?;
                out(call, copies, vec![0; length], CopyLength::Elements(bytes))
            }
            Kind::InOutArray(count, bytes) => {
                let length = limited(args.at(count).saturating_mul(bytes as u64))?;
                let bytes = self.bytes_in(space, value, length)?;
                out(call, copies, bytes, CopyLength::Whole)
            }
            Kind::OutElements(count, bytes) => {
                let length = limited((args.at(count) as u32 as u64).saturating_mul(bytes as u64))?;
                out(call, copies, vec![0; length], CopyLength::Elements(bytes))
            }
            Kind::OutWord(length) => {
                let bytes = self.mm.read_u32(space, VirtAddr::new(args.at(length)))?;
                let word = call.buffers.len() + 1;
                out(call, copies, vec![0; limited(bytes.into())?.max(PAGE_BYTES as usize)], CopyLength::Word(word))
            }
        })
    }

    /// Exactly so many bytes of the guest.
    pub(crate) fn bytes_in(&mut self, space: SpaceId, from: u64, bytes: usize) -> Result<Vec<u8>, Errno> {
        let mut buffer = vec![0; bytes];
        match self.mm.read(space, VirtAddr::new(from), &mut buffer) == bytes {
            true => Ok(buffer),
            false => Err(Errno::EFAULT),
        }
    }

    /// As many bytes of the guest as can be read, at least one.
    pub(super) fn readable_part(&mut self, space: SpaceId, from: u64, bytes: u64) -> Result<Content, Errno> {
        let mut buffer = vec![0; bytes.min(MAX_TRANSFER_BYTES) as usize];
        let done = self.mm.read(space, VirtAddr::new(from), &mut buffer);
        if done == 0 && bytes > 0 {
            return Err(Errno::EFAULT);
        }
        let extent = if done < buffer.len() { Extent::Cut } else { Extent::Whole };
        buffer.truncate(done);
        Ok(Content { bytes: buffer, extent })
    }

    /// How many bytes of the guest can be written, at least one, as far as its areas tell.
    pub(super) fn writable_part(&mut self, space: SpaceId, to: u64, bytes: u64) -> Result<u64, Errno> {
        let end = to.checked_add(bytes).ok_or(Errno::EFAULT)?;
        let mut at = to;
        while at < end {
            let area = self.mm.area_at(space, VirtAddr::new(at)).filter(|area| area.perms.contains(Perms::WRITE));
            let Some(area) = area else { break };
            at = area.range.end.get();
        }
        // The stack below what it has grown to: a write there makes it grow.
        if at == to && bytes > 0 && self.mm.write(space, VirtAddr::new(to), &[0]) == 1 {
            at = (to + 1).next_multiple_of(PAGE_BYTES);
        }
        match at.min(end) - to {
            0 if bytes > 0 => Err(Errno::EFAULT),
            part => Ok(part),
        }
    }

    /// What the host's answer means.
    pub(super) fn after_host(&mut self, tid: Tid, host: HostCall, result: i64) -> Result<Flow, Errno> {
        let HostCall { mut call, then } = host;
        self.mm.memory_files().call_done(tid);
        if let Then::Polled(polled) = &then {
            return self.after_poll(tid, &mut call, polled, result);
        }
        self.count_transfer(tid, call.nr, result);
        if result < 0 {
            return Err(self.host_error(tid, &call, result));
        }
        if is_told_by_signal(&call, result) {
            self.broken_pipe(tid);
        }
        if matches!(call.nr as i64, libc::SYS_close | libc::SYS_dup2 | libc::SYS_dup3 | libc::SYS_close_range) {
            self.notice_hangups();
        }
        match super::opened::check(&call, result) {
            None => {}
            Some(Closed::Refused) => return Err(Errno::EACCES),
            Some(Closed::InProc) => return self.open_in_proc(tid, &call),
        }
        self.tell_guests_numbers(tid, &mut call, &then, result);
        match then {
            Then::Entered { directory } => {
                self.task(tid).directory.change(|now| *now = directory);
            }
            Then::OpenedByLeader => self.terminal_opened(tid, result as i32),
            Then::Closed | Then::Polled(_) => {}
            Then::Answer(copies) => self.copy_out(tid, &call, &copies, result)?,
            Then::Wrote { copies, file } => {
                self.file_after(&call, file, result);
                self.copy_out(tid, &call, &copies, result)?;
            }
            Then::Typed(typed) => self.send_typed_signals(&typed, result as usize),
            Then::Scatter { parts } => self.scatter(tid, &call.buffers[0][..result as usize], &parts)?,
            Then::Received(received) => self.after_received(tid, &call, &received, result as usize)?,
            Then::ReceivedMany(all) => self.after_received_many(tid, &call, &all, result as usize)?,
            Then::SentMany { headers } => self.after_sent_many(tid, &call, headers, result as usize)?,
        }
        Ok(Flow::Answer(result as u64))
    }

    /// What /proc/PID/io tells.
    fn count_transfer(&mut self, tid: Tid, nr: u64, result: i64) {
        let calls = u64::from(self.progress(tid).done == 0);
        let transfers = &mut self.process_of(tid).transfers;
        let bytes = result.max(0) as u64;
        match nr as i64 {
            libc::SYS_read | libc::SYS_pread64 => {
                transfers.reads += calls;
                transfers.read_bytes += bytes;
            }
            libc::SYS_write | libc::SYS_pwrite64 => {
                transfers.writes += calls;
                transfers.written_bytes += bytes;
            }
            _ => {}
        }
    }

    fn host_error(&mut self, tid: Tid, call: &Call, result: i64) -> Errno {
        if result == NOT_BEGUN {
            return ERESTARTNOINTR;
        }
        let errno = Errno::from_code(-result as i32);
        let nr = call.nr as i64;
        if errno == Errno::EPIPE {
            let is_quiet = match nr {
                libc::SYS_sendto => flag(call, 3, libc::MSG_NOSIGNAL),
                libc::SYS_sendmsg => flag(call, 2, libc::MSG_NOSIGNAL),
                libc::SYS_sendmmsg => flag(call, 3, libc::MSG_NOSIGNAL),
                _ => false,
            };
            // A connection that has taken a part of it is quiet about the rest; a pipe is not.
            let is_quiet = is_quiet || self.progress(tid).done > 0 && is_socket(call);
            if !is_quiet {
                self.broken_pipe(tid);
            }
        }
        if errno == Errno::EFBIG && self.soft_limit(tid, libc::RLIMIT_FSIZE as usize) != libc::RLIM_INFINITY {
            self.signal_self(tid, libc::SIGXFSZ);
        }
        match nr {
            _ if errno != Errno::EINTR => errno,
            // It waits for nothing but the disk: the signal may as well have come before it. cat(1) gives up otherwise.
            libc::SYS_copy_file_range => ERESTARTNOINTR,
            _ => ERESTARTSYS,
        }
    }

    /// Copies buffers to the guest.
    pub(super) fn copy_out(&mut self, tid: Tid, call: &Call, copies: &[CopyOut], result: i64) -> Result<(), Errno> {
        let space = self.space_of(tid);
        for copy in copies {
            let buffer = &call.buffers[copy.buffer];
            let length = match copy.length {
                CopyLength::Whole => buffer.len(),
                CopyLength::First(bytes) => bytes,
                CopyLength::Result => result as usize,
                CopyLength::Elements(bytes) => result as usize * bytes,
                CopyLength::Word(word) => {
                    u32::from_le_bytes(call.buffers[word][..4].try_into().expect("a word has four bytes")) as usize
                }
            };
            let bytes = &buffer[..length.min(buffer.len())];
            self.mm.write_all(space, VirtAddr::new(copy.to), bytes)?;
        }
        Ok(())
    }

    /// Spreads bytes over the parts of an iovec.
    pub(super) fn scatter(&mut self, tid: Tid, bytes: &[u8], parts: &[(u64, u64)]) -> Result<(), Errno> {
        let space = self.space_of(tid);
        let mut rest = bytes;
        for (to, length) in parts {
            let (part, after) = rest.split_at(rest.len().min(*length as usize));
            self.mm.write_all(space, VirtAddr::new(*to), part)?;
            rest = after;
        }
        Ok(())
    }
}

/// What follows a call that may have changed a file.
pub(super) fn then(copies: Vec<CopyOut>, file: Option<FileId>) -> Then {
    match file {
        Some(file) => Then::Wrote { copies, file },
        None => Then::Answer(copies),
    }
}

fn is_socket(call: &Call) -> bool {
    matches!(call.args[0], Arg::Value(descriptor) if host::sockets::number_of(descriptor as i32).is_some())
}

/// Whether a pipe broke when it had taken a part of what was written: the answer is that part, and a signal tells the rest.
fn is_told_by_signal(call: &Call, result: i64) -> bool {
    match (call.nr as i64, call.args) {
        (libc::SYS_write, [Arg::Value(descriptor), _, Arg::Value(wanted), ..]) => {
            (result as u64) < wanted && host::files::is_broken_pipe(descriptor as i32)
        }
        _ => false,
    }
}

fn flag(call: &Call, index: usize, bit: i32) -> bool {
    matches!(call.args[index], Arg::Value(value) if value & bit as u64 != 0)
}
