//! /proc/cpuinfo: the host's first processor, as many times as the machine has processors, with the features that the
//! machine's announce.

use super::template::{Others, Values};
use crate::kernel::Kernel;

/// The file.
pub(super) fn text(kernel: &mut Kernel, _: &str) -> String {
    let host = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let first = host.split("\n\n").next().unwrap_or_default();
    let cpus = kernel.config.cpus;
    let blocks = (0..cpus).map(|number| block(first, number, cpus, &kernel.config.cpu_flags) + "\n");
    blocks.collect()
}

fn block(host: &str, number: u32, cpus: u32, flags: &str) -> String {
    let mut values = Values::default();
    for name in ["processor", "core id", "apicid", "initial apicid"] {
        values.set(name, number);
    }
    for name in ["siblings", "cpu cores"] {
        values.set(name, cpus);
    }
    values.set("physical id", 0);
    values.set("flags", flags);
    values.put_into(host, ':', Others::Stay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_is_a_core_of_its_own() {
        let host = "processor\t: 0\nmodel name\t: X\nsiblings\t: 9\ncore id\t\t: 0\nflags\t\t: fpu avx512f\n";
        assert_eq!(
            block(host, 1, 2, "fpu avx2"),
            "processor\t: 1\nmodel name\t: X\nsiblings\t: 2\ncore id\t\t: 1\nflags\t\t: fpu avx2\n"
        );
    }
}
