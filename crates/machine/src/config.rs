//! The options of a machine.

use serde::Serialize;

/// How many levels the page tables have.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub enum Levels {
    /// 48-bit addresses.
    #[default]
    #[serde(rename = "4")]
    Four,
    /// 57-bit addresses.
    #[serde(rename = "5")]
    Five,
}

/// Which processor the guest is told it runs on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// x86-64-v2: up to SSE4.2.
    #[default]
    V2,
    /// x86-64-v3: AVX2, FMA, BMI, F16C, MOVBE too.
    V3,
}

/// What a fault on a file's page costs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileCache {
    /// Nothing from the disk: the host's page cache stands for the machine's.
    #[default]
    Warm,
    /// The disk, the first time.
    Cold,
}

/// Where the stack, the heap and the mappings of a new program go.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// Where `setarch -R` puts them: the same in every run.
    #[default]
    Fixed,
    /// At addresses drawn from the seed (ASLR).
    Random,
}

/// Whether guest instructions are counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Count {
    /// No: the fastest.
    #[default]
    No,
    /// Yes, exactly.
    Yes,
}

/// Whether each translated block compares the bytes it depends on at every entry.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyCode {
    /// No: the marks on frames are trusted.
    #[default]
    No,
    /// Yes: a torture run.
    Yes,
}

/// A machine, before it is built.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct MachineConfig {
    /// Simulated RAM.
    pub ram_bytes: u64,
    /// Levels of the page tables.
    pub levels: Levels,
    /// Where things go in an address space.
    pub placement: Placement,
    /// Of everything that looks random.
    pub seed: u64,
    /// Processors that the guest sees.
    pub cpus: u32,
    /// The processor that is announced.
    pub isa: Isa,
    /// What a fault on a file's page costs.
    pub file_cache: FileCache,
    /// Whether instructions are counted.
    pub count: Count,
    /// Torture: every so many lookups fail and their page is evicted.
    pub chaos: Option<u32>,
    /// Torture: blocks compare their bytes.
    pub verify_code: VerifyCode,
}

impl MachineConfig {
    /// A machine with three quarters of the host's free memory as RAM, as many processors of the same kind as the
    /// host, as far as pagewalk goes, and the defaults everywhere else.
    pub fn of_this_host() -> Self {
        Self {
            ram_bytes: default_ram_bytes(),
            isa: match engine::Isa::of_host() {
                engine::Isa::V2 => Isa::V2,
                engine::Isa::V3 => Isa::V3,
            },
            cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
            ..Self::default()
        }
    }
}

/// The least RAM that a machine can have: the tables, the loader and a stack need a few hundred frames.
pub const MIN_RAM_BYTES: u64 = 4 << 20;
/// The most: 2^32 frames of 4 KiB less one.
pub const MAX_RAM_BYTES: u64 = (u32::MAX as u64) << 12;

/// Three quarters of the memory that the host could give this process now, in whole pages.
fn default_ram_bytes() -> u64 {
    let free_bytes = host::HostMemory::now().map_or(1 << 30, |host| host.available);
    (free_bytes / 4 * 3).clamp(MIN_RAM_BYTES, MAX_RAM_BYTES) & !0xfff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_ram() {
        assert!(MachineConfig::of_this_host().ram_bytes >= MIN_RAM_BYTES);
    }
}
