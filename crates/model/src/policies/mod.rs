//! The replacement policies, one file each, and their table.

mod aging;
mod arc;
mod car;
mod clock;
mod clock_pro;
mod fifo;
mod four_lists;
mod lfu;
mod lirs;
mod lru;
mod mru;
mod nru;
mod opt;
mod random;
mod recency;
mod s3_fifo;
mod second_chance;
mod sieve;
mod two_q;
mod w_tinylfu;
mod wsclock;

pub use aging::Aging;
pub use arc::Arc;
pub use car::Car;
pub use clock::{Clock, UseBitOnLoad};
pub use clock_pro::ClockPro;
pub use fifo::Fifo;
pub use lfu::Lfu;
pub use lirs::Lirs;
pub use lru::Lru;
pub use mru::Mru;
pub use nru::Nru;
pub use opt::{Future, Opt};
pub use random::Random;
pub use s3_fifo::S3Fifo;
pub use second_chance::SecondChance;
pub use sieve::Sieve;
pub use two_q::TwoQ;
pub use w_tinylfu::WTinyLfu;
pub use wsclock::WsClock;

use crate::policy::Policy;

/// What some policies need to know beside the size of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The seed of random.
    pub seed: u64,
    /// References between two ticks of NRU and aging; as many as memory has frames if absent.
    pub period: Option<u64>,
    /// The window of WSClock in references; as many as memory has frames if absent.
    pub window: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 1, period: None, window: None }
    }
}

/// A policy makes its choices by what has happened, or by what will.
enum Maker {
    Online(fn(usize, &Settings) -> Box<dyn Policy>),
    Clairvoyant,
}

struct Row {
    name: &'static str,
    summary: &'static str,
    paper: &'static str,
    make: Maker,
}

macro_rules! table {
    ($($(#[$doc:meta])* $kind:ident $name:literal $summary:literal $paper:literal $make:expr;)*) => {
        /// Which replacement policy.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum PolicyKind { $($(#[$doc])* $kind,)* }

        impl PolicyKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            fn row(self) -> &'static Row {
                match self {
                    $(Self::$kind => const { &Row { name: $name, summary: $summary, paper: $paper, make: $make } },)*
                }
            }
        }
    };
}

use Maker::{Clairvoyant, Online};

table! {
    /// [`Fifo`]
    Fifo "fifo" "the page that came in first leaves" "Belady 1966"
        Online(|frames, _| Box::new(Fifo::new(frames)));
    /// [`Lru`]
    Lru "lru" "the page not used for the longest time leaves" "Mattson et al. 1970"
        Online(|frames, _| Box::new(Lru::new(frames)));
    /// [`Mru`]
    Mru "mru" "the page used last leaves" "Chou and DeWitt 1985"
        Online(|frames, _| Box::new(Mru::new(frames)));
    /// [`Random`]
    Random "random" "any page leaves (--seed)" "Belady 1966"
        Online(|frames, settings| Box::new(Random::new(frames, settings.seed)));
    /// [`SecondChance`]
    SecondChance "second-chance" "FIFO, but a used page goes to the end of the queue" "Tanenbaum, 3.4.4"
        Online(|frames, _| Box::new(SecondChance::new(frames)));
    /// [`Clock`] whose use bit is set on load.
    Clock "clock" "a hand clears use bits; loading sets the bit" "Corbató 1968"
        Online(|frames, _| Box::new(Clock::new(frames, UseBitOnLoad::Set)));
    /// [`Clock`] whose use bit is clear on load.
    Clock0 "clock0" "a hand clears use bits; loading leaves the bit clear" "Corbató 1968"
        Online(|frames, _| Box::new(Clock::new(frames, UseBitOnLoad::Clear)));
    /// [`Nru`]
    Nru "nru" "a page of the lowest class of used and dirty leaves (--period)" "Tanenbaum, 3.4.2"
        Online(|frames, settings| Box::new(Nru::new(frames, settings.period.unwrap_or(frames as u64))));
    /// [`Lfu`]
    Lfu "lfu" "the page used least often while in memory leaves" "Shah, Mitra and Matani 2010"
        Online(|frames, _| Box::new(Lfu::new(frames)));
    /// [`Aging`]
    Aging "aging" "the lowest of counters that shift at each tick leaves (--period)" "Tanenbaum, 3.4.7"
        Online(|frames, settings| Box::new(Aging::new(frames, settings.period.unwrap_or(frames as u64))));
    /// [`TwoQ`]
    TwoQ "2q" "a FIFO filters, an LRU list keeps what was wanted again" "Johnson and Shasha 1994"
        Online(|frames, _| Box::new(TwoQ::new(frames)));
    /// [`Arc`]
    Arc "arc" "once-used and reused pages share memory as regrets teach" "Megiddo and Modha 2003"
        Online(|frames, _| Box::new(Arc::new(frames)));
    /// [`Car`]
    Car "car" "ARC with clocks" "Bansal and Modha 2004"
        Online(|frames, _| Box::new(Car::new(frames)));
    /// [`Lirs`]
    Lirs "lirs" "pages with a short distance between uses stay" "Jiang and Zhang 2002"
        Online(|frames, _| Box::new(Lirs::new(frames)));
    /// [`ClockPro`]
    ClockPro "clock-pro" "LIRS on a clock with three hands" "Jiang, Chen and Zhang 2005"
        Online(|frames, _| Box::new(ClockPro::new(frames)));
    /// [`S3Fifo`]
    S3Fifo "s3-fifo" "a small FIFO filters, a main one keeps, a ghost remembers" "Yang et al. 2023"
        Online(|frames, _| Box::new(S3Fifo::new(frames)));
    /// [`Sieve`]
    Sieve "sieve" "a hand sifts a queue that is never reordered" "Zhang et al. 2024"
        Online(|frames, _| Box::new(Sieve::new(frames)));
    /// [`WTinyLfu`]
    WTinyLfu "w-tinylfu" "a window, then the page estimated more frequent stays" "Einziger, Friedman and Manes 2017"
        Online(|frames, _| Box::new(WTinyLfu::new(frames)));
    /// [`WsClock`]
    WsClock "wsclock" "CLOCK that takes pages outside the working set (--window)" "Carr and Hennessy 1981"
        Online(|frames, settings| Box::new(WsClock::new(frames, settings.window.unwrap_or(frames as u64))));
    /// [`Opt`]
    Opt "opt" "the page whose next use is farthest away leaves" "Belady 1966" Clairvoyant;
}

impl PolicyKind {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// One line on what it does.
    pub fn summary(self) -> &'static str {
        self.row().summary
    }

    /// Where it comes from.
    pub fn paper(self) -> &'static str {
        self.row().paper
    }

    /// The policy of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The policy for memory of `frames` pages, at least 1, replaying a string whose future is known.
    pub fn replayed(self, frames: usize, settings: &Settings, future: &Future) -> Box<dyn Policy> {
        self.online(frames, settings).unwrap_or_else(|| Box::new(Opt::new(frames, future.clone())))
    }

    /// The policy for memory of `frames` pages, at least 1, or `None` if it has to know the future.
    pub fn online(self, frames: usize, settings: &Settings) -> Option<Box<dyn Policy>> {
        assert!(frames > 0, "memory has a frame");
        match self.row().make {
            Online(make) => Some(make(frames, settings)),
            Clairvoyant => None,
        }
    }
}

#[cfg(test)]
mod tests;
