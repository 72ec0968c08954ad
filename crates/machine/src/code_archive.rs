//! Where translations are kept from run to run: a directory of the user's, a file for each program.
//!
//! ```text
//! ~/.cache/pagewalk/code/cc1-09f2a1b3c4d5e6f7      its name, and a hash of its path
//! ```
//! What lies there is executed, so a file counts only if it is the user's own and nobody else may write to it. A file is
//! never changed: a new one takes its place, whole or not at all, also if pagewalk is killed meanwhile. Whatever goes
//! wrong, a program runs as well without; it only takes longer to begin.

use engine::Archive;
use host::{MappedFile, files};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most bytes in the directory; the files written longest ago go first.
const MOST_BYTES: u64 = 1 << 30;

/// Others' permission to write.
const OTHERS_WRITE: u32 = 0o022;

/// The directory.
pub struct CodeArchive {
    directory: PathBuf,
    build: u64,
}

impl CodeArchive {
    /// In a directory, which is made when something is to be kept.
    ///
    /// # Errors
    /// The host's, when pagewalk cannot tell its own build from others.
    pub fn new(directory: PathBuf) -> io::Result<Self> {
        Ok(Self { directory, build: own_build()? })
    }

    fn file_of(&self, program: &[u8]) -> PathBuf {
        let name = Path::new(OsStr::from_bytes(program)).file_name().unwrap_or_default();
        let hash: String = Sha256::digest(program).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        // A name that is too long with it would be no name.
        let short = &name.as_bytes()[..name.len().min(64)];
        self.directory.join(format!("{}-{hash}", String::from_utf8_lossy(short)))
    }

    fn read(&self, program: &[u8]) -> io::Result<MappedFile> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(self.file_of(program))?;
        let found = file.metadata()?;
        if !found.is_file() || !is_own(&found) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        MappedFile::new(&file)
    }

    fn write(&self, program: &[u8], parts: &[&[u8]]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let found = fs::symlink_metadata(&self.directory)?;
        if !found.is_dir() || !is_own(&found) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.make_room(parts.iter().map(|part| part.len() as u64).sum())?;
        let mut unnamed =
            OpenOptions::new().write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(&self.directory)?;
        write_all(&mut unnamed, parts)?;
        let path = self.file_of(program);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => files::give_name(&unnamed, &path),
        }
    }

    /// Removes files until there is room for so many bytes.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut known: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let found = entry.metadata()?;
            known.push((found.modified()?, found.len(), entry.path()));
        }
        known.sort();
        let mut total: u64 = known.iter().map(|(_, bytes, _)| bytes).sum();
        let mut oldest = known.into_iter();
        while total + bytes > MOST_BYTES
            && let Some((_, bytes, path)) = oldest.next()
        {
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

impl Archive for CodeArchive {
    fn load(&self, program: &[u8]) -> Option<MappedFile> {
        self.read(program).ok()
    }

    fn save(&self, program: &[u8], parts: &[&[u8]]) {
        // The next run translates again.
        let _ = self.write(program, parts);
    }

    fn build(&self) -> u64 {
        self.build
    }
}

/// Whether a file is the user's, and nobody else may write to it.
fn is_own(found: &Metadata) -> bool {
    let [_, effective_user, ..] = files::identity();
    u64::from(found.uid()) == effective_user && found.mode() & OTHERS_WRITE == 0
}

/// A number for the file that this program was loaded from, as it is now.
fn own_build() -> io::Result<u64> {
    let found = File::open("/proc/self/exe")?.metadata()?;
    let words = [found.dev(), found.ino(), found.size(), found.mtime() as u64, found.mtime_nsec() as u64];
    let hash = Sha256::digest(words.map(u64::to_le_bytes).concat());
    let (first, _) = hash.split_first_chunk().expect("a hash is longer than a word");
    Ok(u64::from_le_bytes(*first))
}

/// Writes parts one after the other, many at a time where they are short.
fn write_all(file: &mut File, parts: &[&[u8]]) -> io::Result<()> {
    let mut buffered = io::BufWriter::with_capacity(1 << 20, file);
    parts.iter().try_for_each(|part| buffered.write_all(part))?;
    buffered.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_saved_last_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let archive = CodeArchive::new(directory.path().join("code")).unwrap();
        assert!(archive.load(b"/bin/true").is_none());
        archive.save(b"/bin/true", &[b"a", b"bc"]);
        archive.save(b"/usr/bin/true", &[b"other"]);
        assert_eq!(*archive.load(b"/bin/true").unwrap(), *b"abc");
        archive.save(b"/bin/true", &[b"new"]);
        assert_eq!(*archive.load(b"/bin/true").unwrap(), *b"new");
        assert_eq!(fs::read_dir(directory.path().join("code")).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_others_may_write_to_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let archive = CodeArchive::new(directory.path().to_owned()).unwrap();
        archive.save(b"p", &[b"bytes"]);
        fs::set_permissions(archive.file_of(b"p"), fs::Permissions::from_mode(0o620)).unwrap();
        assert!(archive.load(b"p").is_none());
    }

    #[test]
    fn the_files_written_longest_ago_make_room() {
        let directory = tempfile::tempdir().unwrap();
        let archive = CodeArchive::new(directory.path().to_owned()).unwrap();
        let old = File::create(directory.path().join("old")).unwrap();
        old.set_len(MOST_BYTES - 2).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        archive.save(b"p", &[b"12"]);
        assert!(directory.path().join("old").exists());
        archive.save(b"q", &[b"1"]);
        assert!(!directory.path().join("old").exists());
        assert!(archive.load(b"p").is_some() && archive.load(b"q").is_some());
    }
}
