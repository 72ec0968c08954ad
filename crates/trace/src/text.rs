//! Events for people: one line each, the process in front, a call as strace prints it.

use crate::words::access_name;
use crate::{AreaChange, Call, CallResult, Cost, Event, Fault, FaultKind, Switch, What};
use std::fmt;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid == self.tid {
            true => write!(f, "[{}] ", self.pid)?,
            false => write!(f, "[{}/{}] ", self.pid, self.tid)?,
        }
        match &self.what {
            What::Fault(fault) => fault.fmt(f),
            What::Area(change) => change.fmt(f),
            What::Call(call) => call.fmt(f),
            What::Switch(switch) => switch.fmt(f),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault: {} at {}, {}", access_name(self.access), self.addr, self.kind.name())?;
        if self.kind != FaultKind::Protection {
            f.write_str(match self.cost {
                Cost::Minor => ", minor",
                Cost::Major => ", major",
            })?;
        }
        write!(f, ", by {}", self.rip)
    }
}

impl fmt::Display for AreaChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "area {}: {:x}-{:x} {}", self.verb.name(), self.start.get(), self.end.get(), self.perms)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}) = ", self.name, self.arguments.join(", "))?;
        match &self.result {
            CallResult::Value(value) if *value > 1 << 31 => write!(f, "{value:#x}"),
            CallResult::Value(value) => write!(f, "{value}"),
            CallResult::Error(name) => write!(f, "-1 {name}"),
            CallResult::Never => f.write_str("?"),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "switch: cpu {}", self.cpu)?;
        match self.from_tid {
            Some(tid) => write!(f, ", from thread {tid}"),
            None => f.write_str(", was idle"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_reads_as_in_strace() {
        let call = Call {
            name: "openat".into(),
            arguments: vec!["AT_FDCWD".into(), "\"/etc/motd\"".into(), "O_RDONLY".into()],
            result: CallResult::Error("ENOENT".into()),
        };
        let event = Event { at_ns: 0, pid: 7, tid: 8, what: What::Call(call) };
        assert_eq!(event.to_string(), "[7/8] openat(AT_FDCWD, \"/etc/motd\", O_RDONLY) = -1 ENOENT");
    }

    #[test]
    fn large_answers_are_addresses() {
        let answer = |value| Call { name: "brk".into(), arguments: vec![], result: CallResult::Value(value) };
        assert_eq!(answer(0x5555_5555_9000).to_string(), "brk() = 0x555555559000");
        assert_eq!(answer(12).to_string(), "brk() = 12");
    }
}
