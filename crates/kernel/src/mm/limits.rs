//! What a space may use.

/// `vm.mmap_min_addr`: hints below are rounded up to it for everybody.
pub(crate) const LOWEST_HINT: u64 = 65536;

/// Resource limits and privileges as far as memory is concerned; `u64::MAX` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// `RLIMIT_AS`: bytes of all areas.
    pub address_space: u64,
    /// `RLIMIT_DATA`: bytes of private writable areas.
    pub data: u64,
    /// `RLIMIT_STACK`: bytes of a stack.
    pub stack: u64,
    /// `RLIMIT_MEMLOCK`: bytes of locked areas; no limit with `CAP_IPC_LOCK`.
    pub locked: u64,
    /// `vm.max_map_count`: areas.
    pub areas: usize,
    /// The lowest address for a fixed map: `vm.mmap_min_addr`, or 0 with `CAP_SYS_RAWIO`.
    pub lowest_address: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            address_space: u64::MAX,
            data: u64::MAX,
            stack: 8 << 20,
            locked: 8 << 20,
            areas: 65530,
            lowest_address: LOWEST_HINT,
        }
    }
}
