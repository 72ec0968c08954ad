//! The unsafe floor: simulated RAM, executable memory, host signals, clocks, the host-call stub.

mod ahead;
pub mod call;
pub mod capabilities;
mod code_memory;
pub mod cpu;
pub mod cpu_time;
pub mod files;
pub mod guest_thread;
pub mod io_signals;
mod kept_file;
pub mod mapped_file;
pub mod opened;
pub mod outer_signals;
mod peer;
pub mod priority;
mod ram;
mod ready_pipe;
pub mod sockets;
pub mod stand_in;
mod terminal;
pub mod traced;
pub mod tty;
mod vault;
mod window;
mod words;

pub use code_memory::CodeMemory;
pub use cpu::set_gs_base;
pub use kept_file::{FileIdentity, KeptFile};
pub use mapped_file::MappedFile;
pub use peer::Peer;
pub use ram::Ram;
pub use ready_pipe::{Ready, ReadyPipe, is_non_blocking};
pub use stand_in::StandIns;
pub use terminal::TerminalModes;
pub use vault::FileVault;
pub use words::Words;
