//! The program that a machine is to run, and where its file is.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A program with its arguments and environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// The argument vector, the program's own name included.
    pub arguments: Vec<Vec<u8>>,
    /// The environment, each `NAME=value`.
    pub environment: Vec<Vec<u8>>,
}

/// No program is found by a name: why, in one sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotFound(pub String);

impl Program {
    /// A program as the shell finds it, with the arguments and the environment of pagewalk itself.
    ///
    /// # Errors
    /// When PATH does not lead to one. Whether a file that was found can be run is the kernel's to say.
    pub fn find(name: &OsStr, arguments: &[OsString]) -> Result<Self, NotFound> {
        let path = search(name)?;
        let own = std::iter::once(name.as_bytes().to_vec());
        let environment = std::env::vars_os().map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            variable.into_vec()
        });
        Ok(Self {
            path,
            arguments: own.chain(arguments.iter().map(|argument| argument.as_bytes().to_vec())).collect(),
            environment: environment.collect(),
        })
    }
}

/// A name with a slash is a path; any other is looked for in PATH.
fn search(name: &OsStr) -> Result<PathBuf, NotFound> {
    if name.is_empty() {
        return Err(NotFound("the name of the program is empty".to_owned()));
    }
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let found: Vec<PathBuf> =
        std::env::split_paths(&path).map(|directory| directory.join(name)).filter(|file| file.is_file()).collect();
    let runnable = found.iter().find(|file| file.metadata().is_ok_and(|metadata| is_executable(&metadata)));
    runnable.or(found.first()).cloned().ok_or_else(|| NotFound(format!("{} is not found in PATH", name.display())))
}

fn is_executable(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.mode() & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_name_without_a_slash_is_looked_for_in_path() {
        let find = |name: &str| Program::find(OsStr::new(name), &[]);
        assert!(find("no-such-program-anywhere").is_err());
        assert!(find("").is_err());
        assert_eq!(find("/no/such/program").unwrap().path, Path::new("/no/such/program"));
        let list = find("ls").unwrap();
        assert_eq!(list.arguments, [b"ls".to_vec()]);
        assert!(list.path.is_absolute());
    }
}
