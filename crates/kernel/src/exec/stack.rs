//! What a new program finds on its stack.
//!
//! ```text
//! top            8 zero bytes
//!                the program's path
//!                environment strings, argument strings
//!                "x86_64", 16 random bytes
//!                auxiliary vector, ended by AT_NULL
//!                environment pointers, 0
//!                argument pointers, 0
//! rsp, 16-aligned  the number of arguments
//! ```
//! Linux's order, without AT_SYSINFO_EHDR and without rseq's: a program without a vdso asks the kernel for the time.

use crate::kernel::Processor;
use addr::VirtAddr;

/// One entry of the auxiliary vector.
pub(crate) type Auxiliary = (u64, u64);

/// What the auxiliary vector says of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct AuxiliaryFacts {
    pub headers_at: u64,
    pub header_count: u64,
    pub interpreter_base: u64,
    pub entry: u64,
    pub ids: [u64; 4],
    pub processor: Processor,
}

/// A stack as it is written below `top`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StackImage {
    /// Where it begins: rsp.
    pub start: VirtAddr,
    pub bytes: Vec<u8>,
    /// First byte and end of the argument strings, and of the environment strings.
    pub arguments: (u64, u64),
    pub environment: (u64, u64),
    pub auxiliary: Vec<u8>,
}

/// Lays a stack out.
pub(crate) fn lay_out(
    top: VirtAddr,
    path: &[u8],
    argv: &[Vec<u8>],
    envp: &[Vec<u8>],
    facts: &AuxiliaryFacts,
    random: [u8; 16],
) -> StackImage {
    let mut at = top.get() - 8;
    let mut strings: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut push = |at: &mut u64, text: &[u8]| {
        *at -= text.len() as u64 + 1;
        strings.push((*at, [text, b"\0"].concat()));
        *at
    };
    let path_at = push(&mut at, path);
    let environment_end = at;
    let mut environment: Vec<u64> = envp.iter().rev().map(|text| push(&mut at, text)).collect();
    let environment_start = at;
    let mut arguments: Vec<u64> = argv.iter().rev().map(|text| push(&mut at, text)).collect();
    let arguments_start = at;
    environment.reverse();
    arguments.reverse();
    at &= !0xf;
    let platform_at = push(&mut at, b"x86_64");
    at = (at - 16) & !0xf;
    let random_at = at;
    strings.push((random_at, random.to_vec()));

    let auxiliary = auxiliary_bytes(facts, random_at, path_at, platform_at);
    let mut words = vec![argv.len() as u64];
    words.extend(arguments);
    words.push(0);
    words.extend(environment);
    words.push(0);
    let start = (at - auxiliary.len() as u64 - words.len() as u64 * 8) & !0xf;
    let mut bytes = vec![0; (top.get() - start) as usize];
    for (slot, word) in bytes.chunks_exact_mut(8).zip(&words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    bytes[words.len() * 8..][..auxiliary.len()].copy_from_slice(&auxiliary);
    for (at, text) in strings {
        bytes[(at - start) as usize..][..text.len()].copy_from_slice(&text);
    }
    StackImage {
        start: VirtAddr::new(start),
        bytes,
        arguments: (arguments_start, environment_start),
        environment: (environment_start, environment_end),
        auxiliary,
    }
}

/// The bytes that strings and pointers of a program take on its stack, for the limit of execve.
pub(crate) fn argument_bytes(argv: &[Vec<u8>], envp: &[Vec<u8>]) -> u64 {
    argv.iter().chain(envp).map(|text| text.len() as u64 + 9).sum()
}

fn auxiliary_bytes(facts: &AuxiliaryFacts, random_at: u64, path_at: u64, platform_at: u64) -> Vec<u8> {
    let entries: [Auxiliary; 21] = [
        (libc::AT_MINSIGSTKSZ, host::cpu::signal_frame_bytes() + facts.processor.state_bytes),
        (libc::AT_HWCAP, facts.processor.features),
        (libc::AT_PAGESZ, 4096),
        (libc::AT_CLKTCK, 100),
        (libc::AT_PHDR, facts.headers_at),
        (libc::AT_PHENT, 56),
        (libc::AT_PHNUM, facts.header_count),
        (libc::AT_BASE, facts.interpreter_base),
        (libc::AT_FLAGS, 0),
        (libc::AT_ENTRY, facts.entry),
        (libc::AT_UID, facts.ids[0]),
        (libc::AT_EUID, facts.ids[1]),
        (libc::AT_GID, facts.ids[2]),
        (libc::AT_EGID, facts.ids[3]),
        (libc::AT_SECURE, 0),
        (libc::AT_RANDOM, random_at),
        (libc::AT_HWCAP2, facts.processor.more_features),
        (libc::AT_EXECFN, path_at),
        (libc::AT_PLATFORM, platform_at),
        (libc::AT_NULL, 0),
        (libc::AT_NULL, 0),
    ];
    // Linux ends the vector with one AT_NULL and leaves a hole; two keep the words before the strings even.
    entries.into_iter().flat_map(|(key, value)| [key.to_le_bytes(), value.to_le_bytes()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(image: &StackImage, index: usize) -> u64 {
        u64::from_le_bytes(image.bytes[index * 8..index * 8 + 8].try_into().unwrap())
    }

    fn text(image: &StackImage, at: u64) -> &[u8] {
        let tail = &image.bytes[(at - image.start.get()) as usize..];
        &tail[..tail.iter().position(|byte| *byte == 0).unwrap()]
    }

    #[test]
    fn the_stack_reads_as_a_program_reads_it() {
        let argv = [b"ls".to_vec(), b"-l".to_vec()];
        let envp = [b"HOME=/".to_vec()];
        let facts = AuxiliaryFacts { entry: 0x1234, ..AuxiliaryFacts::default() };
        let image = lay_out(VirtAddr::new(0x7fff_ffff_f000), b"/bin/ls", &argv, &envp, &facts, [7; 16]);
        assert_eq!(image.start.get() % 16, 0);
        assert_eq!(word(&image, 0), 2);
        assert_eq!(text(&image, word(&image, 1)), b"ls");
        assert_eq!(text(&image, word(&image, 2)), b"-l");
        assert_eq!(word(&image, 3), 0);
        assert_eq!(text(&image, word(&image, 4)), b"HOME=/");
        assert_eq!(word(&image, 5), 0);
        let vector: Vec<Auxiliary> = (3..)
            .map(|pair| (word(&image, pair * 2), word(&image, pair * 2 + 1)))
            .take_while(|(key, _)| *key != 0)
            .collect();
        let value = |key| vector.iter().find(|(found, _)| *found == key).map(|(_, value)| *value).unwrap();
        assert_eq!(value(libc::AT_ENTRY), 0x1234);
        assert_eq!(text(&image, value(libc::AT_EXECFN)), b"/bin/ls");
        assert_eq!(text(&image, value(libc::AT_PLATFORM)), b"x86_64");
        assert_eq!(&image.bytes[(value(libc::AT_RANDOM) - image.start.get()) as usize..][..16], [7; 16]);
    }

    #[test]
    fn arguments_and_environment_are_contiguous_for_proc() {
        let argv = [b"a".to_vec(), b"bc".to_vec()];
        let image =
            lay_out(VirtAddr::new(0x8000_0000), b"x", &argv, &[b"E=1".to_vec()], &AuxiliaryFacts::default(), [0; 16]);
        let (start, end) = image.arguments;
        assert_eq!(&image.bytes[(start - image.start.get()) as usize..(end - image.start.get()) as usize], b"a\0bc\0");
        assert_eq!(image.environment.0, end);
    }
}
