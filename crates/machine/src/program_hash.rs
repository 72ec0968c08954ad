//! The hash of a program's file, found when somebody asks: hashing a large program takes longer than many a run.

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The SHA-256 of the file that a path named when the hash was made; it serialises as hexadecimal digits, or as null if
/// the host cannot read the file.
#[derive(Clone, Default, Debug)]
pub struct ProgramHash(Option<Arc<Lazy>>);

#[derive(Debug)]
struct Lazy {
    file: File,
    digits: OnceLock<Option<String>>,
}

impl ProgramHash {
    /// For a file, which stays open.
    ///
    /// # Errors
    /// The host's, when the file cannot be opened.
    pub fn of(program: &Path) -> io::Result<Self> {
        Ok(Self(Some(Arc::new(Lazy { file: File::open(program)?, digits: OnceLock::new() }))))
    }

    /// The hexadecimal digits.
    pub fn digits(&self) -> Option<&str> {
        let lazy = self.0.as_ref()?;
        lazy.digits.get_or_init(|| hash(&lazy.file).ok()).as_deref()
    }
}

impl PartialEq for ProgramHash {
    fn eq(&self, other: &Self) -> bool {
        self.digits() == other.digits()
    }
}

impl Serialize for ProgramHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.digits().serialize(serializer)
    }
}

/// The hexadecimal digits of bytes.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(file: &File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => break,
            read => {
                hash.update(&buffer[..read]);
                at += read as u64;
            }
        }
    }
    Ok(hexadecimal(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_hash_is_what_sha256sum_prints() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"abc").unwrap();
        let hash = ProgramHash::of(file.path()).unwrap();
        file.close().unwrap();
        assert_eq!(hash.digits(), Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        assert_eq!(ProgramHash::default().digits(), None);
    }
}
