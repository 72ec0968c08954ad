//! What a directory of ours lists, and getdents.

use super::node::{Directory, Node, What};
use super::rows;
use crate::Errno;
use crate::kernel::Kernel;

/// The first cookie of process numbers in `/proc`; what the host has there comes before.
const PIDS: u64 = 1 << 16;
/// Bytes of linux_dirent64 and linux_dirent before the name.
const HEADER_BYTES: usize = 19;
const OLD_HEADER_BYTES: usize = 18;

/// One entry of a directory.
struct Listed {
    /// What a reader continues after; it grows along the directory, and a name keeps its own.
    cookie: u64,
    name: String,
    kind: u8,
}

/// The two layouts of a directory entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// getdents64's.
    Dirent64,
    /// getdents's.
    Dirent,
}

impl Kernel {
    /// The entries of a directory after a cookie, as many as fit, and the cookie of the last one.
    ///
    /// # Errors
    /// `ENOENT` if what it was about is gone, `EINVAL` if not even one entry fits.
    pub(crate) fn entries_of(
        &mut self,
        directory: &Node,
        after: u64,
        room: usize,
        layout: Layout,
    ) -> Result<(Vec<u8>, u64), Errno> {
        let mut bytes = Vec::new();
        let mut last = after;
        for entry in self.list(directory)?.iter().filter(|entry| entry.cookie > after) {
            let packed = entry.packed(&directory.path, layout);
            if bytes.len() + packed.len() > room {
                return if bytes.is_empty() { Err(Errno::EINVAL) } else { Ok((bytes, last)) };
            }
            bytes.extend(packed);
            last = entry.cookie;
        }
        Ok((bytes, last))
    }

    fn list(&mut self, directory: &Node) -> Result<Vec<Listed>, Errno> {
        let What::Directory(kind) = directory.what else { return Err(Errno::ENOTDIR) };
        if directory.whose.is_some_and(|whose| !self.processes.contains_key(&whose.pid)) {
            return Err(Errno::ENOENT);
        }
        let mut names: Vec<(u64, String, u8)> =
            [".", ".."].iter().zip(1..).map(|(name, cookie)| (cookie, (*name).to_owned(), libc::DT_DIR)).collect();
        let numbered = |names: Vec<(String, u8)>| names.into_iter().zip(3..).map(|((name, kind), at)| (at, name, kind));
        match (kind, directory.whose) {
            (Directory::Root, _) => {
                names.extend(numbered(self.shown_names(directory)));
                let pids = self.processes.keys();
                names.extend(pids.map(|pid| (PIDS + u64::from(pid.0), pid.to_string(), libc::DT_DIR)));
            }
            (Directory::Process | Directory::Task, _) => {
                let rows = rows::ROWS.iter().filter(|row| kind == Directory::Process || row.is_per_thread());
                names.extend(numbered(rows.map(|row| (row.name.to_owned(), kind_of(row.what))).collect()));
            }
            (Directory::Tasks, Some(whose)) => {
                let tids = self.tids_of(whose.pid);
                names.extend(tids.iter().map(|tid| (3 + u64::from(tid.0), tid.to_string(), libc::DT_DIR)));
            }
            (Directory::Descriptors(which), Some(whose)) => {
                let kind = if which == super::node::Descriptors::Links { libc::DT_LNK } else { libc::DT_REG };
                let numbers = self.descriptors_of(whose);
                names.extend(numbers.iter().map(|number| (3 + *number as u64, number.to_string(), kind)));
            }
            (Directory::Cpus | Directory::Nodes, _) => names.extend(numbered(self.sys_names(directory))),
            _ => names.extend(numbered(self.shown_names(directory))),
        }
        Ok(names.into_iter().map(|(cookie, name, kind)| Listed { cookie, name, kind }).collect())
    }

    /// The names that the host has in a directory, without those of its processes.
    pub(super) fn shown_names(&self, directory: &Node) -> Vec<(String, u8)> {
        let Ok(entries) = std::fs::read_dir(self.host_path_of(directory)) else { return Vec::new() };
        let mut names: Vec<(String, u8)> = entries
            .flatten()
            .filter_map(|entry| {
                let kind =
                    entry.file_type().map_or(libc::DT_UNKNOWN, |kind| match (kind.is_dir(), kind.is_symlink()) {
                        (true, _) => libc::DT_DIR,
                        (_, true) => libc::DT_LNK,
                        _ => libc::DT_REG,
                    });
                Some((entry.file_name().into_string().ok()?, kind))
            })
            .filter(|(name, _)| directory.path != "/proc" || !name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(|(name, _)| !super::machine::is_absent(&format!("{}/{name}", directory.path)))
            .collect();
        names.sort_unstable();
        names
    }
}

impl Listed {
    fn packed(&self, directory: &str, layout: Layout) -> Vec<u8> {
        let header = if layout == Layout::Dirent64 { HEADER_BYTES } else { OLD_HEADER_BYTES };
        // The old layout has the kind in its last byte, behind the name and its zero.
        let tail = if layout == Layout::Dirent64 { 1 } else { 2 };
        let length = (header + self.name.len() + tail).next_multiple_of(8);
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(number_of(directory, &self.name).to_le_bytes());
        bytes.extend(self.cookie.to_le_bytes());
        bytes.extend((length as u16).to_le_bytes());
        if layout == Layout::Dirent64 {
            bytes.push(self.kind);
        }
        bytes.extend(self.name.as_bytes());
        bytes.resize(length, 0);
        if layout == Layout::Dirent {
            bytes[length - 1] = self.kind;
        }
        bytes
    }
}

fn kind_of(what: What) -> u8 {
    match what {
        What::Directory(_) => libc::DT_DIR,
        What::Link(_) => libc::DT_LNK,
        _ => libc::DT_REG,
    }
}

/// A file number that is the same each time (FNV-1a), and never 0, which means no file.
fn number_of(directory: &str, name: &str) -> u64 {
    let bytes = directory.bytes().chain([b'/']).chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_layouts_of_linux() {
        let entry = Listed { cookie: 7, name: "maps".to_owned(), kind: libc::DT_REG };
        let new = entry.packed("/proc/2", Layout::Dirent64);
        assert_eq!((new.len(), new[8], new[16], new[18]), (24, 7, 24, libc::DT_REG));
        assert_eq!(&new[19..24], b"maps\0");
        let old = entry.packed("/proc/2", Layout::Dirent);
        assert_eq!((old.len(), old[16], old[23]), (24, 24, libc::DT_REG));
        assert_eq!(&old[18..23], b"maps\0");
    }
}
