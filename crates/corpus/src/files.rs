//! What a run left behind in its folder.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// Every path below a folder, and what is there.
pub type Tree = BTreeMap<String, Node>;

/// One file, as far as two runs must agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Permission bits.
    pub mode: u32,
    /// Its kind and content.
    pub content: Content,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A regular file: its bytes, hashed.
    File {
        /// Its size.
        bytes: u64,
        /// Of all bytes.
        hash: u64,
    },
    /// A folder; what is in it has paths of its own.
    Folder,
    /// A symbolic link, and where it points.
    Link(String),
    /// A pipe, socket or device.
    Special,
}

/// Everything below a folder.
///
/// # Errors
/// What the host says of a path that cannot be read.
pub fn tree(folder: &Path) -> io::Result<Tree> {
    let mut tree = Tree::new();
    descend(folder, "", &mut tree)?;
    Ok(tree)
}

fn descend(folder: &Path, prefix: &str, tree: &mut Tree) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let metadata = fs::symlink_metadata(entry.path())?;
        let kind = metadata.file_type();
        let content = if kind.is_dir() {
            descend(&entry.path(), &format!("{path}/"), tree)?;
            Content::Folder
        } else if kind.is_symlink() {
            Content::Link(fs::read_link(entry.path())?.to_string_lossy().into_owned())
        } else if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            Content::Special
        } else {
            Content::File { bytes: metadata.len(), hash: hash(&entry.path())? }
        };
        tree.insert(path, Node { mode: metadata.permissions().mode() & 0o7777, content });
    }
    Ok(())
}

fn hash(path: &Path) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    fs::read(path)?.hash(&mut hasher);
    Ok(hasher.finish())
}

/// One sentence for each path on which two trees differ; a `loose` path need only be there in both.
pub fn differences(native: &Tree, guest: &Tree, loose: &[String]) -> Vec<String> {
    let paths: std::collections::BTreeSet<&String> = native.keys().chain(guest.keys()).collect();
    let is_loose = |path: &str| loose.iter().any(|part| path.contains(part.as_str()));
    let difference = |path: &String| match (native.get(path), guest.get(path)) {
        (Some(_), None) => Some(format!("file {path}: missing under pagewalk")),
        (None, Some(_)) => Some(format!("file {path}: under pagewalk only")),
        (native, guest) if native == guest || is_loose(path) => None,
        (native, guest) => Some(format!("file {path}: {native:?} natively, {guest:?} under pagewalk")),
    };
    paths.into_iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(hash: u64) -> Node {
        Node { mode: 0o644, content: Content::File { bytes: 1, hash } }
    }

    #[test]
    fn a_loose_path_must_still_be_there() {
        let native = Tree::from([("a/index".to_string(), file(1)), ("b".to_string(), file(1))]);
        let guest = Tree::from([("a/index".to_string(), file(2)), ("c".to_string(), file(1))]);
        let loose = ["index".to_string()];
        assert_eq!(differences(&native, &guest, &loose).len(), 2);
        assert_eq!(differences(&native, &guest, &[]).len(), 3);
        assert_eq!(differences(&native, &native, &[]).len(), 0);
    }
}
