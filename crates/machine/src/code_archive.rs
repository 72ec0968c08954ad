//! Where translations are kept from run to run: a directory of the user's, a file for each program.
//!
//! ```text
//! ~/.cache/pagewalk/code/cc1-09f2a1b3c4d5e6f7.code      its name, and a hash of its path and the kind of translator
//! ```
//! What lies there is executed, so a file counts only if it is the user's own and nobody else may write to it. A file is
//! never changed: it goes, and a new one comes, whole or not at all, also if pagewalk is killed meanwhile; nothing else is
//! ever left. Whatever goes wrong, a program runs as well without; it only takes longer to begin.

use crate::program_hash::hexadecimal;
use engine::Archive;
use host::{MappedFile, files};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Most bytes of files in the directory; those used longest ago go first.
const MOST_BYTES: u64 = 1 << 30;

/// How the names of files end.
const ENDING: &str = ".code";

/// The time of a file's last use is not told more exactly.
const USE_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Others' permission to write.
const OTHERS_WRITE: u32 = 0o022;

/// The directory.
pub struct CodeArchive {
    directory: PathBuf,
    build: u64,
    /// Bytes that may still be added to the directory, once somebody has looked.
    room_bytes: Mutex<Option<u64>>,
}

impl CodeArchive {
    /// In a directory, which is made when something is to be kept.
    ///
    /// # Errors
    /// The host's, when pagewalk cannot tell its own build from others, or where it is.
    pub fn new(directory: PathBuf) -> io::Result<Self> {
        // Guests change the directory that they are in, and programs are begun by their threads.
        Ok(Self { directory: std::path::absolute(directory)?, build: own_build()?, room_bytes: Mutex::new(None) })
    }

    fn file_of(&self, program: &[u8], translator: &str) -> PathBuf {
        let name = Path::new(OsStr::from_bytes(program)).file_name().unwrap_or_default();
        let hash = Sha256::digest([program, b"\0", translator.as_bytes()].concat());
        let hash = hexadecimal(&hash[..8]);
        // A name that is too long with it would be no name.
        let short = &name.as_bytes()[..name.len().min(64)];
        self.directory.join(format!("{}-{hash}{ENDING}", String::from_utf8_lossy(short)))
    }

    fn put(&self, draft: &File, path: &Path) -> io::Result<()> {
        self.make_room(draft.metadata()?.len())?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => files::give_name(draft, path),
        }
    }

    /// Removes files until there is room for so many bytes.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut room_bytes = self.room_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = room_bytes.and_then(|room| room.checked_sub(bytes)) {
            *room_bytes = Some(left);
            return Ok(());
        }
        // Others may remove files at the same time: what is not there needs no room.
        let mut known: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let found = entry.metadata().ok().filter(|found| found.is_file());
            if let (Some(found), true) = (found, entry.file_name().as_bytes().ends_with(ENDING.as_bytes())) {
                known.push((found.modified()?, found.len(), entry.path()));
            }
        }
        known.sort();
        let mut total: u64 = known.iter().map(|(_, bytes, _)| bytes).sum();
        let mut oldest = known.into_iter();
        while total + bytes > MOST_BYTES
            && let Some((_, bytes, path)) = oldest.next()
        {
            let _ = fs::remove_file(path);
            total -= bytes;
        }
        *room_bytes = Some(MOST_BYTES.saturating_sub(total + bytes));
        Ok(())
    }
}

impl Archive for CodeArchive {
    fn load(&self, program: &[u8], translator: &str) -> io::Result<Option<MappedFile>> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(self.file_of(program, translator)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let found = file.metadata()?;
        if !found.is_file() || !is_own(&found) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if found.modified()?.elapsed().is_ok_and(|unused| unused > USE_PERIOD) {
            // For `make_room`; a file that cannot be told goes earlier.
            let _ = file.set_modified(SystemTime::now());
        }
        if found.len() == 0 { Ok(None) } else { MappedFile::new(&file).map(Some) }
    }

    fn draft(&self) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let found = fs::symlink_metadata(&self.directory)?;
        if !found.is_dir() || !is_own(&found) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        OpenOptions::new().write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(&self.directory)
    }

    fn publish(&self, program: &[u8], translator: &str, draft: &File) {
        // If it fails, the next run translates again.
        let _ = self.put(draft, &self.file_of(program, translator));
    }

    fn build(&self) -> u64 {
        self.build
    }
}

/// Whether a file is the user's, and nobody else may write to it.
fn is_own(found: &Metadata) -> bool {
    found.uid() == files::effective_user() && found.mode() & OTHERS_WRITE == 0
}

/// A number for the file that this program was loaded from, as it is now.
fn own_build() -> io::Result<u64> {
    let found = File::open("/proc/self/exe")?.metadata()?;
    // An installer may set the time of the last change; nobody sets that of the last change of the inode.
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()].map(|time| time as u64);
    let words = [&[found.dev(), found.ino(), found.size()], &times[..]].concat();
    let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    let hash = Sha256::digest(bytes);
    let (first, _) = hash.split_first_chunk().expect("a hash is longer than a word");
    Ok(u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, PermissionsExt};

    fn archive(directory: &Path) -> CodeArchive {
        CodeArchive::new(directory.join("code")).unwrap()
    }

    fn save(archive: &CodeArchive, program: &[u8], translator: &str, bytes: &[u8]) {
        let draft = archive.draft().unwrap();
        draft.write_all_at(bytes, 0).unwrap();
        archive.publish(program, translator, &draft);
    }

    fn loaded(archive: &CodeArchive, program: &str) -> Option<Vec<u8>> {
        archive.load(program.as_bytes(), "plain").unwrap().map(|file| file.to_vec())
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let archive = archive(directory.path());
        assert_eq!(loaded(&archive, "/bin/true"), None);
        save(&archive, b"/bin/true", "plain", b"abc");
        save(&archive, b"/usr/bin/true", "plain", b"other");
        save(&archive, b"/bin/true", "counting", b"counts");
        assert_eq!(loaded(&archive, "/bin/true").unwrap(), b"abc");
        save(&archive, b"/bin/true", "plain", b"new");
        assert_eq!(loaded(&archive, "/bin/true").unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path().join("code")).unwrap().count(), 3);
    }

    #[test]
    fn a_file_that_is_not_the_users_own_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let archive = archive(directory.path());
        save(&archive, b"p", "plain", b"bytes");
        let path = archive.file_of(b"p", "plain");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(archive.load(b"p", "plain").is_err());
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(archive.load(b"p", "plain").is_err());
    }

    #[test]
    fn the_files_used_longest_ago_make_room_and_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let code = directory.path().join("code");
        save(&archive(directory.path()), b"p", "plain", b"12");
        for name in ["old.code", "mine.txt"] {
            let old = File::create(code.join(name)).unwrap();
            old.set_len(MOST_BYTES - 2).unwrap();
            old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        save(&archive(directory.path()), b"p", "plain", b"");
        assert!(code.join("old.code").exists());
        let archive = archive(directory.path());
        save(&archive, b"q", "plain", b"1");
        save(&archive, b"r", "plain", b"23");
        assert!(!code.join("old.code").exists() && code.join("mine.txt").exists());
        assert!(loaded(&archive, "q").is_some() && loaded(&archive, "r").is_some());
    }
}
