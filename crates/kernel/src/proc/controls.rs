//! What writing to a process's files does.

use super::node::Whose;
use crate::Errno;
use crate::kernel::Kernel;

/// Bytes of a name.
const NAME_BYTES: usize = 15;
const OOM_SCORE_RANGE: i64 = 1000;
/// The range of the old oom_adj.
const OOM_ADJ_DISABLE: i64 = -17;
const OOM_ADJ_MAX: i64 = 15;

/// clear_refs cannot be read.
pub(super) fn nothing(_: &mut Kernel, _: Whose) -> Vec<u8> {
    Vec::new()
}

/// A line feed at the end is not part of the name.
pub(super) fn set_comm(kernel: &mut Kernel, whose: Whose, bytes: &[u8]) -> Result<(), Errno> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let name = bytes[..bytes.len().min(NAME_BYTES)].to_vec();
    let tid = kernel.task_of(whose).map(|task| task.tid).ok_or(Errno::ESRCH)?;
    if tid.0 == whose.pid.0 {
        let process = kernel.processes.get_mut(&whose.pid).ok_or(Errno::ESRCH)?;
        process.image.name.clone_from(&name);
    }
    kernel.task(tid).name = name;
    Ok(())
}

pub(super) fn set_oom_score_adj(kernel: &mut Kernel, whose: Whose, bytes: &[u8]) -> Result<(), Errno> {
    let value = number(bytes)?;
    if !(-OOM_SCORE_RANGE..=OOM_SCORE_RANGE).contains(&value) {
        return Err(Errno::EINVAL);
    }
    set_adjustment(kernel, whose, value)
}

pub(super) fn set_oom_adj(kernel: &mut Kernel, whose: Whose, bytes: &[u8]) -> Result<(), Errno> {
    let value = match number(bytes)? {
        OOM_ADJ_MAX => OOM_SCORE_RANGE,
        value @ OOM_ADJ_DISABLE..OOM_ADJ_MAX => value * OOM_SCORE_RANGE / -OOM_ADJ_DISABLE,
        _ => return Err(Errno::EINVAL),
    };
    set_adjustment(kernel, whose, value)
}

/// Only the privileged may make a process less likely to be killed.
fn set_adjustment(kernel: &mut Kernel, whose: Whose, value: i64) -> Result<(), Errno> {
    let process = kernel.processes.get_mut(&whose.pid).ok_or(Errno::ESRCH)?;
    if value < i64::from(process.oom_adjustment) && host::files::identity()[1] != 0 {
        return Err(Errno::EACCES);
    }
    process.oom_adjustment = value as i16;
    Ok(())
}

/// 1, 2 and 3 forget which pages were used; 5 forgets the most that was resident. 4 forgets which pages were changed.
pub(super) fn clear_refs(kernel: &mut Kernel, whose: Whose, bytes: &[u8]) -> Result<(), Errno> {
    let Some(space) = kernel.space_of_process(whose) else { return Err(Errno::ESRCH) };
    kernel.mm.clear_references(space, crate::mm::ClearReferences::from_number(number(bytes)?).ok_or(Errno::EINVAL)?);
    Ok(())
}

/// A number as people write it to such files, with spaces around it.
pub(super) fn number(bytes: &[u8]) -> Result<i64, Errno> {
    let text = std::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    text.trim_matches(|letter: char| letter.is_ascii_whitespace() || letter == '\0').parse().map_err(|_| Errno::EINVAL)
}
