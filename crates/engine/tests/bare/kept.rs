//! Translations that another engine made.

use crate::program;
use crate::rig::{CODE, DATA, Rig, STACK_TOP};
use addr::{Perms, Registers, VirtAddr};
use host::MappedFile;
use iced_x86::code_asm::*;
use pagewalk_engine::{Archive, Exit};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// An archive of one file.
struct OneFile {
    path: PathBuf,
    build: u64,
}

impl Archive for OneFile {
    fn load(&self, program: &[u8], _: &str) -> io::Result<Option<MappedFile>> {
        assert_eq!(program, b"the program");
        Ok(File::open(&self.path).ok().and_then(|file| MappedFile::new(&file).ok()))
    }

    fn draft(&self) -> io::Result<File> {
        File::options().write(true).create_new(true).open(self.path.with_extension("draft"))
    }

    fn publish(&self, _: &[u8], _: &str, _: &File) {
        fs::rename(self.path.with_extension("draft"), &self.path).expect("the file can be renamed");
    }

    fn build(&self) -> u64 {
        self.build
    }
}

/// Sums squares by direct calls and calls through a register into another page, with an instruction that is done by hand
/// and a store that crosses pages.
fn busy(factor: i32) -> Rig {
    program(|a| {
        let (mut square, mut top) = (a.create_label(), a.create_label());
        a.xor(eax, eax)?;
        a.cpuid()?;
        a.mov(edi, 50)?;
        a.xor(ebp, ebp)?;
        a.mov(r12, DATA + 0xffc)?;
        a.set_label(&mut top)?;
        a.call(square)?;
        a.mov(qword_ptr(r12), rax)?;
        a.add(rbp, qword_ptr(r12))?;
        a.lea(rbx, qword_ptr(square))?;
        a.call(rbx)?;
        a.add(rbp, rax)?;
        a.dec(edi)?;
        a.jne(top)?;
        a.mov(rax, rbp)?;
        a.syscall()?;
        a.nops_with_size(0x1000)?;
        a.set_label(&mut square)?;
        a.push(rdi)?;
        a.imul_3(eax, edi, factor)?;
        a.imul_2(eax, edi)?;
        a.pop(rdi)?;
        a.ret()
    })
}

fn sum(factor: u64) -> u64 {
    (1..=50).map(|n| 2 * factor * n * n).sum()
}

/// Runs a rig with translations of a file; what it answers, how many blocks were translated, and how many recalled.
fn run(mut rig: Rig, path: &Path, build: u64) -> (u64, u64, u64) {
    rig.keep_translations(OneFile { path: path.to_owned(), build });
    assert_eq!(rig.run(), Exit::Syscall);
    let counts = rig.counts();
    rig.save_translations();
    (rig.registers.gpr[0], counts.blocks, counts.recalled)
}

#[test]
fn a_second_run_translates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let (answer, translated, recalled) = run(busy(1), &path, 1);
    assert_eq!((answer, recalled), (sum(1), 0));
    for _ in 0..2 {
        // A store that crosses pages is prepared anew each time.
        let (answer, prepared, recalled) = run(busy(1), &path, 1);
        assert_eq!((answer, prepared + recalled), (sum(1), translated));
        assert!(recalled > prepared / 50, "{recalled} blocks recalled, {prepared} made");
    }
}

#[test]
fn other_code_at_the_same_addresses_is_translated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    run(busy(1), &path, 1);
    // Only the page of the function that multiplies differs, and what depends on it.
    let (answer, translated, recalled) = run(busy(3), &path, 1);
    assert_eq!(answer, sum(3));
    assert!(translated > 0 && recalled > 0);
    for factor in [1, 3] {
        let (answer, ..) = run(busy(factor), &path, 1);
        assert_eq!(answer, sum(factor as u64));
    }
}

#[test]
fn another_build_starts_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    run(busy(1), &path, 1);
    let (answer, _, recalled) = run(busy(1), &path, 2);
    assert_eq!((answer, recalled), (sum(1), 0));
}

#[test]
fn bytes_that_rotted_are_no_translations() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    run(busy(1), &path, 1);
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut rotten = whole.clone();
        rotten[at] ^= 1 << (at % 8);
        fs::write(&path, rotten).unwrap();
        assert_eq!(run(busy(1), &path, 1).0, sum(1), "bit of byte {at}");
    }
    for len in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..len]).unwrap();
        assert_eq!(run(busy(1), &path, 1).0, sum(1), "{len} bytes are left");
    }
}

#[test]
fn a_file_that_is_shortened_meanwhile_ends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    run(busy(1), &path, 1);
    let mut rig = busy(1);
    rig.keep_translations(OneFile { path: path.clone(), build: 1 });
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert_eq!(rig.run(), Exit::Syscall);
    assert_eq!((rig.registers.gpr[0], rig.counts().recalled), (sum(1), 0));
}

#[test]
fn code_that_was_stored_to_is_not_recalled_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let patched = || {
        let mut rig = program(|a| {
            let mut value = a.create_label();
            a.lea(rsi, qword_ptr(value))?;
            a.mov(byte_ptr(rsi + 1), 7)?;
            a.set_label(&mut value)?;
            a.mov(eax, 1)?;
            a.syscall()
        });
        rig.protect(CODE, 4, Perms::ALL);
        rig
    };
    for _ in 0..3 {
        assert_eq!(run(patched(), &path, 1).0, 7);
    }
    let mut rig = patched();
    rig.keep_translations(OneFile { path, build: 1 });
    rig.run();
    rig.registers = Registers::at_entry(VirtAddr::new(CODE), VirtAddr::new(STACK_TOP));
    assert_eq!((rig.run(), rig.registers.gpr[0]), (Exit::Syscall, 7));
}
