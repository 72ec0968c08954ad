//! A process on a machine of few pages: reads, a start from an executable, more memory.

use crate::request::Request;
use crate::story::{Step, Table};
use crate::system::System;
use crate::translate::translate;
use crate::wrong::Wrong;
use addr::{Access, Perms, Privilege, VirtAddr};
use schemars::JsonSchema;
use serde::Deserialize;

/// The story's data.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProcessStory {
    /// Addresses that the process of `contents` reads.
    pub reads: Vec<u64>,
    /// The executable that a new process is made from.
    pub executable: Executable,
    /// The frame from which the new process gets memory.
    pub first_frame: u64,
    /// Bytes that it asks for later.
    pub more_bytes: u64,
}

/// Where an executable's parts are, in the file and in memory.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Executable {
    pub code_offset: u64,
    pub code_bytes: u64,
    pub code_at: u64,
    pub data_offset: u64,
    pub data_bytes: u64,
    pub data_at: u64,
    pub entry: u64,
}

/// More is no example.
const MOST_BYTES: u64 = 1 << 32;

/// The steps.
pub fn tell(system: &System, story: &ProcessStory) -> Result<Vec<Step>, Wrong> {
    let pages = super::pages_to_draw(system)?;
    story.executable.check().map_err(|wrong| wrong.at("executable"))?;
    let mut running = system.clone();
    let mut steps = vec![Step::new("The page table of a process").table(table(&running, None))];
    for &read in &story.reads {
        steps.extend(read_one(&mut running, read));
    }
    let mut fresh = system.clone();
    for page in 0..pages {
        fresh.unmap(page);
    }
    steps.push(executable(&story.executable));
    let bytes = (story.executable.code_at + story.executable.code_bytes)
        .max(story.executable.data_at + story.executable.data_bytes);
    let first = give(&mut fresh, 0, bytes, story.first_frame).map_err(|wrong| wrong.at("first-frame"))?;
    let page_bytes = fresh.geometry.page_bytes();
    let place = |at: u64| first * page_bytes + at;
    let copied = Step::new(format!("A new process needs {bytes} bytes: the kernel maps them"))
        .table(table(&fresh, None))
        .line(copy("code", story.executable.code_offset, story.executable.code_bytes, place(story.executable.code_at)))
        .line(copy("data", story.executable.data_offset, story.executable.data_bytes, place(story.executable.data_at)))
        .line(format!("The process starts at virtual {}.", story.executable.entry));
    steps.push(copied);
    let next = bytes.div_ceil(page_bytes);
    steps.extend(read_one(&mut fresh, next * page_bytes));
    let frame = first + next;
    give(&mut fresh, next, story.more_bytes, frame).map_err(|wrong| wrong.at("more-bytes"))?;
    let grown =
        Step::new(format!("The process asks for {} bytes more", story.more_bytes)).table(table(&fresh, Some(next)));
    steps.push(grown);
    steps.extend(read_one(&mut fresh, next * page_bytes));
    Ok(steps)
}

fn copy(what: &str, offset: u64, bytes: u64, to: u64) -> String {
    format!("The {what}, bytes {offset}-{} of the file, is copied to physical {to}-{}.", offset + bytes, to + bytes)
}

impl Executable {
    /// Sums of offsets and sizes have to exist.
    fn check(&self) -> Result<(), Wrong> {
        let sizes = [
            ("code-offset", self.code_offset),
            ("code-bytes", self.code_bytes),
            ("code-at", self.code_at),
            ("data-offset", self.data_offset),
            ("data-bytes", self.data_bytes),
            ("data-at", self.data_at),
        ];
        match sizes.iter().find(|(_, size)| *size > MOST_BYTES) {
            Some((key, _)) => Err(Wrong::new(format!("expected at most {MOST_BYTES}")).at(key)),
            None => Ok(()),
        }
    }
}

/// Maps `bytes` bytes from a page to frames from `frame` on.
fn give(system: &mut System, page: u64, bytes: u64, frame: u64) -> Result<u64, Wrong> {
    for place in 0..bytes.div_ceil(system.geometry.page_bytes()) {
        system.map(page + place, frame + place, 1, Perms::ALL, Privilege::User)?;
    }
    Ok(frame)
}

fn read_one(system: &mut System, at: u64) -> Vec<Step> {
    let mut done = translate(system, Request::new(VirtAddr::new(at), Access::Read));
    let what = match done.answer.pa {
        Some(to) => format!("A read at virtual {at} reaches physical {to}"),
        None => format!("A read at virtual {at} faults, and the process gets SIGSEGV"),
    };
    let mut step = Step::new(what);
    for inner in &mut done.steps {
        step = step.line(format!("{}.", inner.title));
        step.blocks.append(&mut inner.blocks);
    }
    vec![step]
}

fn executable(file: &Executable) -> Step {
    let mut table = Table::new("", &["part", "offset in the file", "bytes", "virtual address"]);
    let row = |name: &str, offset: u64, bytes: u64, at: u64| {
        vec![name.to_string(), offset.to_string(), bytes.to_string(), at.to_string()]
    };
    table.push(row("code", file.code_offset, file.code_bytes, file.code_at));
    table.push(row("data", file.data_offset, file.data_bytes, file.data_at));
    table.push(vec!["entry".into(), "-".into(), "-".into(), file.entry.to_string()]);
    Step::new("An executable says where its parts go").table(table)
}

/// Every page of the space.
fn table(system: &System, marked: Option<u64>) -> Table {
    let mut table = Table::new("", &["virtual", "physical"]);
    let bytes = system.geometry.page_bytes();
    for page in 0..system.pages_and_frames().0 {
        let range = |start: u64| format!("{}-{}", start * bytes, (start + 1) * bytes);
        let physical = system.entry(page).map_or("no frame".to_string(), |(frame, _)| range(frame));
        let row = vec![range(page), physical];
        if marked == Some(page) { table.push_marked(row) } else { table.push(row) }
    }
    table
}
