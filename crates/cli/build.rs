//! Says whether this platform can run programs. If so, compiles the recorder library, which the binary carries inside
//! itself, so that one cargo command is enough.

use std::env;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "../recorder/src/lib.rs";

fn main() {
    println!("cargo::rerun-if-changed=../recorder/src");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(runs_programs)");
    if variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ARCH") == "x86_64" {
        println!("cargo::rustc-cfg=runs_programs");
        compile_recorder();
    }
}

fn compile_recorder() {
    let library = Path::new(&variable("OUT_DIR")).join("libpagewalk_recorder.so");
    let options = ["--edition=2024", "--crate-type=cdylib", "--crate-name=pagewalk_recorder", "-Copt-level=3"];
    let small = ["-Cpanic=abort", "-Cstrip=symbols", "-Clto", "-Ccodegen-units=1"];
    let status = Command::new(variable("RUSTC"))
        .args(options)
        .args(small)
        .arg(format!("--target={}", variable("TARGET")))
        .arg("-o")
        .arg(&library)
        .arg(SOURCE)
        .status()
        .expect("cargo names a rustc that runs");
    assert!(status.success(), "the recorder library compiles");
    println!("cargo::rustc-env=PAGEWALK_RECORDER={}", library.display());
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
