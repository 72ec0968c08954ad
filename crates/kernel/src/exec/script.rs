//! Scripts that name their interpreter: `#!path [argument]`.

/// Bytes that are looked at (BINPRM_BUF_SIZE).
pub(super) const LINE_BYTES: usize = 256;

/// The interpreter of a script and its one argument, or `None` if these are no script's first bytes.
pub(super) fn interpreter_of(start: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let rest = start.strip_prefix(b"#!")?;
    let line = rest.split(|byte| *byte == b'\n' || *byte == 0).next()?;
    let line = line.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (path, argument) = (&line[..end], line[end..].trim_ascii());
    (!path.is_empty()).then(|| (path.to_vec(), (!argument.is_empty()).then(|| argument.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_line_is_one_argument() {
        let line = |text: &str| interpreter_of(text.as_bytes());
        assert_eq!(line("#!/bin/sh\nls"), Some((b"/bin/sh".to_vec(), None)));
        assert_eq!(
            line("#! /usr/bin/env -S perl -w \n"),
            Some((b"/usr/bin/env".to_vec(), Some(b"-S perl -w".to_vec())))
        );
        assert_eq!(line("#!\n"), None);
        assert_eq!(line("ls"), None);
    }
}
