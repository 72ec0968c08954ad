//! Keeping files of guests readable after the guests have closed them.
//!
//! Every guest process has a descriptor table of its own, so a descriptor of one is nothing to the others and is gone
//! when its process ends; the page cache outlives both. The vault is a thread that stays in the descriptor table of
//! whoever started it. It fetches a duplicate of a descriptor out of the table of the thread that asks (pidfd_getfd),
//! which works for files that are deleted or may not be opened again, and reads and writes on behalf of all threads.

use crate::host_memory::MemoryTellers;
use crate::mapped_file::{FileBytes, MappedFile};
use crate::window::Window;
use crate::{HostMemory, KeptFile, Ready};
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

/// pidfd_open's flag for a thread that leads no group (Linux 6.9).
const PIDFD_THREAD: libc::c_uint = libc::O_EXCL as libc::c_uint;

/// The thread and the way to it. It ends when the last handle and the last kept file are gone.
#[derive(Clone, Debug)]
pub struct FileVault {
    line: Arc<Line>,
}

/// The sending end; one at a time.
#[derive(Debug)]
pub(crate) struct Line {
    sender: Mutex<Sender<Request>>,
    /// What the last read was made into, for the next one: fresh memory would cost the host's faults each time.
    spare: Mutex<Vec<u8>>,
}

enum Request {
    Keep { tid: i32, descriptor: RawFd, answer: Sender<io::Result<(usize, Option<MappedFile>)>> },
    Read { file: usize, bytes: usize, offset: u64, buffer: Vec<u8>, answer: Sender<io::Result<(Vec<u8>, usize)>> },
    Write { file: usize, bytes: Vec<u8>, offset: u64, answer: Sender<io::Result<()>> },
    Metadata { file: usize, answer: Sender<io::Result<std::fs::Metadata>> },
    MapForWriting { file: usize, wanted: bool, answer: Sender<io::Result<()>> },
    Punch { file: usize, bytes: Range<u64>, answer: Sender<io::Result<()>> },
    Present { file: usize, ranges: Vec<Range<u64>>, answer: Sender<io::Result<Vec<u64>>> },
    MemoryUnit { file: usize, answer: Sender<io::Result<(u64, Option<u64>)>> },
    HostMemory { answer: Sender<io::Result<HostMemory>> },
    SetReady { file: usize, ready: Ready, answer: Sender<io::Result<()>> },
    IsRead { file: usize, answer: Sender<io::Result<bool>> },
    Drop { file: usize },
}

impl FileVault {
    /// Starts the thread, in the calling thread's descriptor table.
    ///
    /// # Errors
    /// The host's, when it cannot start a thread.
    pub fn start() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        std::thread::Builder::new().name("files".to_owned()).spawn(move || serve(&receiver))?;
        Ok(Self { line: Arc::new(Line { sender: Mutex::new(sender), spare: Mutex::default() }) })
    }

    /// How much memory the host has now; `None` if it does not say. A guest can use up its own descriptors, not those of
    /// the vault, which has the files open.
    pub fn host_memory(&self) -> Option<HostMemory> {
        self.line.ask(|answer| Request::HostMemory { answer }).ok()
    }

    /// Keeps what a descriptor of the calling thread's table refers to.
    ///
    /// # Errors
    /// The host's: a bad descriptor, or too many kept files.
    pub fn keep(&self, descriptor: BorrowedFd<'_>) -> io::Result<KeptFile> {
        Ok(KeptFile::in_vault(self.keep_file(descriptor)?))
    }
}

impl FileVault {
    pub(crate) fn keep_file(&self, descriptor: BorrowedFd<'_>) -> io::Result<VaultFile> {
        let (tid, descriptor) = (crate::guest_thread::host_tid(), descriptor.as_raw_fd());
        let (file, mapped) = self.line.ask(|answer| Request::Keep { tid, descriptor, answer })?;
        Ok(VaultFile { line: Arc::clone(&self.line), file, mapped })
    }
}

impl Line {
    fn ask<T>(&self, request: impl FnOnce(Sender<io::Result<T>>) -> Request) -> io::Result<T> {
        let (answer, receiver) = mpsc::channel();
        self.send(request(answer));
        receiver.recv().expect("the vault answers every request")
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, request: Request) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.send(request).expect("the vault runs while somebody can send");
    }
}

/// A file in the vault.
#[derive(Debug)]
pub(crate) struct VaultFile {
    line: Arc<Line>,
    file: usize,
    /// Shows most of what is read without the vault, where a file can be mapped.
    mapped: Option<MappedFile>,
}

impl VaultFile {
    pub(crate) fn read_with<R>(
        &self,
        bytes: usize,
        offset: u64,
        see: impl FnOnce(FileBytes<'_>) -> R,
    ) -> io::Result<R> {
        if let Some(shown) = self.mapped.as_ref().and_then(|mapped| mapped.show(offset..offset + bytes as u64)) {
            return Ok(see(shown.bytes()));
        }
        self.ask_for(bytes, offset, |found| see(FileBytes::of(found)))
    }

    pub(crate) fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        self.ask_for(to.len(), offset, |found| {
            to[..found.len()].copy_from_slice(found);
            found.len()
        })
    }

    /// Bytes that the vault reads.
    fn ask_for<R>(&self, bytes: usize, offset: u64, see: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let buffer = std::mem::take(&mut *self.line.spare());
        let (buffer, count) =
            self.line.ask(|answer| Request::Read { file: self.file, bytes, offset, buffer, answer })?;
        let seen = see(&buffer[..count]);
        *self.line.spare() = buffer;
        Ok(seen)
    }

    pub(crate) fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()> {
        self.line.ask(|answer| Request::Write { file: self.file, bytes: from.to_vec(), offset, answer })
    }

    pub(crate) fn map_for_writing(&self, wanted: bool) -> io::Result<()> {
        self.line.ask(|answer| Request::MapForWriting { file: self.file, wanted, answer })
    }

    pub(crate) fn punch(&self, bytes: Range<u64>) -> io::Result<()> {
        self.line.ask(|answer| Request::Punch { file: self.file, bytes, answer })
    }

    pub(crate) fn memory_unit(&self) -> io::Result<(u64, Option<u64>)> {
        self.line.ask(|answer| Request::MemoryUnit { file: self.file, answer })
    }

    pub(crate) fn pages_present(&self, ranges: Vec<Range<u64>>) -> io::Result<Vec<u64>> {
        self.line.ask(|answer| Request::Present { file: self.file, ranges, answer })
    }

    pub(crate) fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.line.ask(|answer| Request::Metadata { file: self.file, answer })
    }
}

impl VaultFile {
    pub(crate) fn set_ready(&self, ready: Ready) -> io::Result<()> {
        self.line.ask(|answer| Request::SetReady { file: self.file, ready, answer })
    }

    pub(crate) fn is_read(&self) -> io::Result<bool> {
        self.line.ask(|answer| Request::IsRead { file: self.file, answer })
    }
}

impl Drop for VaultFile {
    fn drop(&mut self) {
        self.line.send(Request::Drop { file: self.file });
    }
}

fn serve(requests: &Receiver<Request>) {
    let mut files: Vec<Option<Kept>> = Vec::new();
    let memory_tellers = MemoryTellers::open();
    // Whoever asked may be gone; an answer that nobody wants is dropped.
    while let Ok(request) = requests.recv() {
        match request {
            Request::Keep { tid, descriptor, answer } => {
                let kept = fetch(tid, descriptor).map(|file| {
                    let mapped = map(&file);
                    let free = files.iter().position(Option::is_none).unwrap_or(files.len());
                    files.resize_with(files.len().max(free + 1), || None);
                    files[free] = Some(Kept { reader: file, writer: None, window: None });
                    (free, mapped)
                });
                let _ = answer.send(kept);
            }
            Request::Read { file, bytes, offset, mut buffer, answer } => {
                buffer.resize(buffer.len().max(bytes), 0);
                let count = kept(&mut files, file).read_at(&mut buffer[..bytes], offset);
                let _ = answer.send(count.map(|count| (buffer, count)));
            }
            Request::Write { file, bytes, offset, answer } => {
                let _ = answer.send(kept(&mut files, file).write_at(&bytes, offset));
            }
            Request::Metadata { file, answer } => {
                let _ = answer.send(kept(&mut files, file).reader.metadata());
            }
            Request::MapForWriting { file, wanted, answer } => {
                let _ = answer.send(kept(&mut files, file).map_for_writing(wanted));
            }
            Request::Punch { file, bytes, answer } => {
                let _ = answer.send(kept(&mut files, file).punch(&bytes));
            }
            Request::Present { file, ranges, answer } => {
                let _ = answer.send(crate::kept_file::present(&kept(&mut files, file).reader, &ranges));
            }
            Request::MemoryUnit { file, answer } => {
                let _ = answer.send(crate::host_memory::memory_unit(&kept(&mut files, file).reader));
            }
            Request::HostMemory { answer } => {
                let memory = memory_tellers.as_ref().and_then(MemoryTellers::read);
                let _ = answer.send(memory.ok_or_else(|| io::ErrorKind::NotFound.into()));
            }
            Request::SetReady { file, ready, answer } => {
                let _ = answer.send(kept(&mut files, file).set_ready(ready));
            }
            Request::IsRead { file, answer } => {
                let _ = answer.send(Ok(kept(&mut files, file).is_read()));
            }
            Request::Drop { file } => files[file] = None,
        }
    }
}

fn kept(files: &mut [Option<Kept>], file: usize) -> &mut Kept {
    files[file].as_mut().expect("a kept file stays until it is dropped")
}

/// A duplicate of a guest's descriptor, and one that can be written to when a page of a file that was opened for
/// reading first and mapped for writing later goes back. The window is for a file that is being sealed.
struct Kept {
    reader: File,
    writer: Option<File>,
    window: Option<Window>,
}

impl Kept {
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        crate::kept_file::read_fully(&self.reader, to, offset)
    }

    fn map_for_writing(&mut self, wanted: bool) -> io::Result<()> {
        if wanted != self.window.is_some() {
            self.window = if wanted { Some(Window::new(&self.reader)?) } else { None };
        }
        Ok(())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(window) = &mut self.window {
            return window.write_at(bytes, offset);
        }
        self.change(|file| file.write_all_at(bytes, offset))
    }

    fn punch(&mut self, bytes: &Range<u64>) -> io::Result<()> {
        self.change(|file| crate::kept_file::punch(file, bytes))
    }

    /// Changes the file by the first descriptor, or by one that is opened for writing.
    fn change(&mut self, change: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
        match change(&self.reader) {
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => {}
            other => return other,
        }
        if self.writer.is_none() {
            let path = format!("/proc/thread-self/fd/{}", self.reader.as_raw_fd());
            self.writer = Some(File::options().write(true).open(path)?);
        }
        change(self.writer.as_ref().expect("it was opened just now"))
    }
}

impl Kept {
    /// The file is the writing end of a pipe: whether somebody has its reading end.
    fn is_read(&self) -> bool {
        let mut asked = libc::pollfd { fd: self.reader.as_raw_fd(), events: 0, revents: 0 };
        // SAFETY: one valid structure.
        let answer = unsafe { libc::poll(&raw mut asked, 1, 0) };
        answer < 1 || asked.revents & libc::POLLERR == 0
    }

    /// The file is the writing end of a pipe: it gets its byte, or that is taken out by a reader made for that.
    fn set_ready(&mut self, ready: Ready) -> io::Result<()> {
        match ready {
            Ready::Yes => self.reader.write_all(&[1]),
            Ready::No => {
                let path = format!("/proc/thread-self/fd/{}", self.reader.as_raw_fd());
                let mut reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
                reader.read_exact(&mut [0])
            }
        }
    }
}

/// Maps a file that has its bytes on a disk. One in memory would get pages where it has holes, by being looked at.
fn map(file: &File) -> Option<MappedFile> {
    let (_, in_memory) = crate::host_memory::memory_unit(file).ok()?;
    if in_memory.is_none() { MappedFile::new(file).ok() } else { None }
}

/// A duplicate, in the calling thread's table, of a descriptor in another thread's.
fn fetch(tid: i32, descriptor: RawFd) -> io::Result<File> {
    // SAFETY: opens a descriptor for a thread; no memory is involved.
    let thread = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, tid, PIDFD_THREAD) });
    let Ok(thread) = thread else {
        // A host without pidfds of threads: the file is opened anew, read-only if it must be.
        let path = format!("/proc/self/task/{tid}/fd/{descriptor}");
        return File::options().read(true).write(true).open(&path).or_else(|_| File::open(&path));
    };
    // SAFETY: duplicates a descriptor; no memory is involved.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, thread.as_raw_fd(), descriptor, 0) }).map(File::from)
}

fn owned(answer: i64) -> io::Result<OwnedFd> {
    match answer {
        // SAFETY: the host has just made the descriptor for us alone.
        0.. => Ok(unsafe { OwnedFd::from_raw_fd(answer as RawFd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest_thread;
    use std::os::fd::AsFd;

    #[test]
    fn a_kept_file_outlives_the_thread_that_opened_it() {
        let vault = FileVault::start().unwrap();
        let in_guest = vault.clone();
        let guest = std::thread::spawn(move || {
            guest_thread::own_files().unwrap();
            let path = std::env::temp_dir().join(format!("pagewalk-vault-{}", guest_thread::host_tid()));
            let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            file.write_all(b"kept").unwrap();
            in_guest.keep(file.as_fd()).unwrap()
        });
        let kept = guest.join().unwrap();
        let mut bytes = [0; 8];
        assert_eq!(kept.read_at(&mut bytes, 0).unwrap(), 4);
        assert_eq!(&bytes[..4], b"kept");
        kept.write_at(b"more", 4).unwrap();
        assert_eq!(kept.identity().unwrap().size, 8);
    }
}
