//! Controlling terminals and job control: sessions and groups are ours, so what a terminal's driver does with them is.
//!
//! The host's driver moves the bytes and edits the lines; it knows of no session on a guest's terminal, so it sends no
//! signals and stops nobody. That is done here: before the host is asked where it stops somebody, and after it where
//! characters send signals, because with these the driver empties its queues, and who gets the signal may answer at once.

use crate::Errno;
use crate::calls::{Args, ERESTARTSYS};
use crate::kernel::Kernel;
use crate::signal::SigInfo;
use crate::task::{FIRST_PID, INIT_PID, Pid, State, Tid};
use host::tty::{self, End};
use std::collections::BTreeMap;

/// Bytes of a write that are looked at for characters that send signals.
const LOOKED_AT_BYTES: u64 = 4096;

/// Terminals that control sessions.
pub(crate) struct Terminals {
    by_device: BTreeMap<u64, Terminal>,
    /// pagewalk's own; 0 if it has none.
    own: u64,
}

/// Whom a terminal controls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    pub session: u32,
    /// The group in the foreground.
    pub foreground: u32,
}

/// Characters in what is written to a terminal's master that send signals.
#[derive(Debug)]
pub(crate) struct Typed {
    master: i32,
    device: u64,
    /// Which byte, and what it sends.
    signals: Vec<(usize, i32)>,
}

/// What a process in the background is about to do to its terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
    Change,
}

impl Terminals {
    /// Only pagewalk's own, in the hands of the first process.
    pub fn new() -> Self {
        let own = tty::own().unwrap_or(0);
        let first = Terminal { session: INIT_PID, foreground: FIRST_PID };
        Self { by_device: BTreeMap::from([(own, first)]), own }
    }

    /// The group that gets what pagewalk's own terminal sends.
    pub fn own_foreground(&self) -> u32 {
        self.by_device.get(&self.own).map_or(FIRST_PID, |terminal| terminal.foreground)
    }

    /// The terminal of a session.
    pub fn of_session(&self, session: u32) -> Option<(u64, Terminal)> {
        let found = self.by_device.iter().find(|(_, terminal)| terminal.session == session);
        found.map(|(device, terminal)| (*device, *terminal)).filter(|(device, _)| *device != 0)
    }

    pub fn at(&mut self, device: u64) -> Option<&mut Terminal> {
        self.by_device.get_mut(&device)
    }

    /// A terminal controls a session from now on.
    pub fn give(&mut self, device: u64, to: Terminal) {
        self.by_device.insert(device, to);
    }

    pub fn is_own(&self, device: u64) -> bool {
        device == self.own
    }

    fn has_guests(&self) -> bool {
        self.by_device.keys().any(|device| *device != self.own)
    }
}

impl Kernel {
    /// Before a task reads or writes a descriptor: what the terminal's driver would do, if it is one.
    /// Answers with the signals that what is written will have sent.
    pub(crate) fn before_terminal_transfer(&mut self, args: &Args) -> Result<Option<Typed>, Errno> {
        let way = match args.nr as i64 {
            libc::SYS_read | libc::SYS_readv => Use::Read,
            libc::SYS_write | libc::SYS_writev => Use::Write,
            _ => return Ok(None),
        };
        let is_in_background = self.is_in_background(args.tid);
        let typed = (way == Use::Write && self.terminals.has_guests()).then(|| self.typed_signals(args)).flatten();
        if is_in_background && let Some((device, End::Slave)) = tty::of_descriptor(args.int(0)) {
            self.check_use(args.tid, args.int(0), device, way)?;
        }
        Ok(typed)
    }

    /// Whether a task's group is not the one that its terminal listens to.
    fn is_in_background(&self, tid: Tid) -> bool {
        let process = self.process_of_ref(tid);
        let terminal = self.terminals.of_session(process.session);
        terminal.is_some_and(|(_, terminal)| terminal.foreground != process.group)
    }

    /// What becomes of a process in the background that uses its terminal: it goes on, is refused, or is stopped.
    pub(crate) fn check_use(&mut self, tid: Tid, descriptor: i32, device: u64, way: Use) -> Result<(), Errno> {
        let process = self.process_of_ref(tid);
        let (group, session) = (process.group, process.session);
        let controls = self.terminals.of_session(session).filter(|(own, _)| *own == device);
        if controls.is_none_or(|(_, terminal)| terminal.foreground == group) {
            return Ok(());
        }
        let signal = if way == Use::Read { libc::SIGTTIN } else { libc::SIGTTOU };
        let is_deaf = self.tasks[&tid].blocked.has(signal) || process.ignores(signal);
        match way {
            Use::Write if !tty::settings(descriptor).is_some_and(|settings| settings.stops_writers) => {
                return Ok(());
            }
            Use::Write | Use::Change if is_deaf => return Ok(()),
            Use::Read if is_deaf => return Err(Errno::EIO),
            _ if self.is_orphaned(group) => return Err(Errno::EIO),
            _ => {}
        }
        self.send_to_group(group, signal);
        Err(ERESTARTSYS)
    }

    /// What is typed into a terminal of a guest, by the program that holds its master, may send signals.
    fn typed_signals(&mut self, args: &Args) -> Option<Typed> {
        let Some((device, End::Master)) = tty::of_descriptor(args.int(0)) else { return None };
        self.terminals.at(device)?;
        let characters = tty::settings(args.int(0))?.signals?;
        let space = self.space_of(args.tid);
        let bytes = match args.nr as i64 {
            libc::SYS_write => self.bytes_in(space, args.at(1), args.at(2).min(LOOKED_AT_BYTES) as usize),
            _ => {
                let first = self.gather_first(space, args.at(1), args.at(2), LOOKED_AT_BYTES);
                first.map(|content| content.bytes)
            }
        };
        let bytes = bytes.unwrap_or_default();
        let signal_of = |byte: u8| {
            let which = characters.iter().position(|character| *character == byte && byte != 0)?;
            Some([libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP][which])
        };
        let signals: Vec<(usize, i32)> =
            (0..).zip(bytes).filter_map(|(at, byte)| Some((at, signal_of(byte)?))).collect();
        (!signals.is_empty()).then_some(Typed { master: args.int(0), device, signals })
    }

    /// Sends the signals of as many bytes as the host has taken.
    pub(crate) fn send_typed_signals(&mut self, typed: &Typed, bytes: usize) {
        tty::settle(typed.master);
        for (_, signal) in typed.signals.iter().filter(|(at, _)| *at < bytes) {
            if let Some(Terminal { foreground, .. }) = self.terminals.at(typed.device).copied() {
                self.send_to_group(foreground, *signal);
            }
        }
    }

    /// A task has opened a terminal: one that leads a session without one has it from now on.
    pub(crate) fn terminal_opened(&mut self, tid: Tid, descriptor: i32) {
        let process = self.process_of_ref(tid);
        let (pid, session, group) = (process.pid.get(), process.session, process.group);
        if pid != session || self.terminals.of_session(session).is_some() {
            return;
        }
        if let Some((device, End::Slave)) = tty::of_descriptor(descriptor)
            && self.terminals.at(device).is_none()
        {
            self.terminals.give(device, Terminal { session, foreground: group });
        }
    }

    /// TIOCSCTTY: the caller's session takes a terminal.
    pub(crate) fn take_terminal(&mut self, tid: Tid, device: u64, steals: bool) -> Result<(), Errno> {
        let process = self.process_of_ref(tid);
        let (pid, session, group) = (process.pid.get(), process.session, process.group);
        let current = self.terminals.of_session(session);
        if pid == session && current.is_some_and(|(own, _)| own == device) {
            return Ok(());
        }
        if pid != session || current.is_some() {
            return Err(Errno::EPERM);
        }
        if self.terminals.at(device).is_some() && !(steals && host::files::identity()[1] == 0) {
            return Err(Errno::EPERM);
        }
        self.terminals.give(device, Terminal { session, foreground: group });
        Ok(())
    }

    /// TIOCNOTTY, or the end of a session's leader: the session has no terminal any more, and its foreground is told.
    pub(crate) fn leave_terminal(&mut self, pid: Pid) {
        let session = self.processes[&pid].session;
        if session != pid.get() {
            return;
        }
        if let Some((device, Terminal { foreground, .. })) = self.terminals.of_session(session) {
            self.terminals.by_device.remove(&device);
            self.send_to_group(foreground, libc::SIGHUP);
            self.send_to_group(foreground, libc::SIGCONT);
        }
    }

    /// Terminals whose masters are gone hang up: the session's leader and the foreground are told.
    pub(crate) fn notice_hangups(&mut self) {
        if !self.terminals.has_guests() {
            return;
        }
        let own = self.terminals.own;
        let is_gone = |device: &u64| *device != own && !tty::exists(*device);
        let gone: Vec<u64> = self.terminals.by_device.keys().copied().filter(is_gone).collect();
        for device in gone {
            if let Some(Terminal { session, foreground }) = self.terminals.by_device.remove(&device) {
                for signal in [libc::SIGHUP, libc::SIGCONT] {
                    self.send_to_process(Pid(session), SigInfo::kernel(signal));
                    self.send_to_group(foreground, signal);
                }
            }
        }
    }

    /// A signal of the kernel's own for all processes of a group.
    pub(crate) fn send_to_group(&mut self, group: u32, signal: i32) {
        for pid in self.members_of(group) {
            self.send_to_process(pid, SigInfo::kernel(signal));
        }
    }

    /// Whether nobody outside of a group, in its session, could continue it. The first process's parent is whoever
    /// started pagewalk.
    pub(crate) fn is_orphaned(&self, group: u32) -> bool {
        let members = self.processes.values().filter(|process| process.group == group && !process.is_zombie());
        !members.into_iter().any(|process| match self.processes.get(&Pid(process.parent)) {
            Some(parent) => parent.group != group && parent.session == process.session,
            None => process.pid.get() == FIRST_PID,
        })
    }

    /// A process ends: groups that were not orphaned before and are now, and have somebody stopped, are told.
    pub(crate) fn tell_orphaned_groups(&mut self, before: &[u32]) {
        for group in before {
            let members = self.members_of(*group);
            let has_stopped = members.iter().any(|pid| self.processes[pid].state == State::Stopped);
            if has_stopped && self.is_orphaned(*group) {
                self.send_to_group(*group, libc::SIGHUP);
                self.send_to_group(*group, libc::SIGCONT);
            }
        }
    }

    /// The groups that a process's end may leave orphaned: its own and its children's, as far as they are not yet.
    pub(crate) fn groups_to_watch(&self, pid: Pid) -> Vec<u32> {
        let own = self.processes[&pid].group;
        let children = self.processes.values().filter(|process| process.parent == pid.get()).map(|child| child.group);
        let mut groups: Vec<u32> = children.chain([own]).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|group| !self.is_orphaned(*group));
        groups
    }
}
