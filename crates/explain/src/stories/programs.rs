//! Two small programs in one memory, without translation and with it. They are run, not described.

use crate::story::{Step, Table};
use crate::system::{System, each};
use crate::wrong::Wrong;
use addr::{Access, Perms, Privilege, VirtAddr};
use paging::walk;
use schemars::JsonSchema;
use serde::Deserialize;

/// The story's data. An instruction is a byte: three bits of operation, five of address.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProgramsStory {
    /// The programs, each written to start at address 0.
    pub programs: Vec<Program>,
    /// Bytes that a third program would need.
    pub third_bytes: u64,
}

/// One program.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Where it is placed in physical memory.
    pub placed_at: u64,
    /// One line a byte: `load A`, `add A`, `store A`, `jump A`, `halt`, or a number.
    pub code: Vec<String>,
    /// Where it leaves its result.
    pub result_at: u64,
    /// What the result should be.
    pub result: u8,
}

const OPERATIONS: [&str; 5] = ["halt", "load", "add", "store", "jump"];
/// More is no picture.
const MOST_BYTES: u64 = 4096;
/// More than any example needs.
const MOST_INSTRUCTIONS: usize = 1000;

/// Memory, and how a program's addresses reach it.
struct Computer<'a> {
    memory: Vec<u8>,
    tables: Option<&'a System>,
}

/// The steps.
pub fn tell(system: &System, story: &ProgramsStory) -> Result<Vec<Step>, Wrong> {
    let size = system.geometry.physical_bytes();
    if size > MOST_BYTES || story.third_bytes > MOST_BYTES {
        return Err(Wrong::new(format!("expected a memory and programs of at most {MOST_BYTES} bytes")));
    }
    let size = size as usize;
    let images = each("programs", &story.programs, assemble)?;
    let mut computer = Computer { memory: vec![0; size], tables: None };
    for (item, (program, image)) in story.programs.iter().zip(&images).enumerate() {
        let start = program.placed_at.min(size as u64) as usize;
        let place = computer.memory.get_mut(start..start + image.len());
        let wrong = || Wrong::new(format!("expected {} bytes of memory behind it", image.len()));
        place.ok_or_else(|| wrong().at("placed-at").item(item).at("programs"))?.copy_from_slice(image);
    }
    let mut steps = vec![
        Step::new("Without translation: two programs in physical memory, each written to start at 0")
            .table(listing(story)),
    ];
    for (program, image) in story.programs.iter().zip(&images) {
        steps.push(run_placed(&mut computer, program, image, "is run"));
    }
    if let (Some(first), Some(image)) = (story.programs.first(), images.first()) {
        steps.push(run_placed(&mut computer, first, image, "is run once more"));
    }
    steps.push(free_memory(system, story));
    steps.extend(translated(system, story, &images)?);
    Ok(steps)
}

fn assemble(program: &Program) -> Result<Vec<u8>, Wrong> {
    each("code", &program.code, |line| {
        let (word, operand) = line.split_once(' ').unwrap_or((line, "0"));
        match OPERATIONS.iter().position(|&operation| operation == word) {
            Some(operation) => operand
                .parse()
                .ok()
                .filter(|&address: &u8| address < 32)
                .map(|address| (operation as u8) << 5 | address),
            None => line.parse().ok(),
        }
        .ok_or_else(|| Wrong::new("expected load, add, store or jump A (below 32), halt, or a number up to 255"))
    })
}

impl Computer<'_> {
    fn place(&self, address: u64, access: Access) -> Result<usize, String> {
        let place = match self.tables {
            None => address as usize,
            Some(system) => {
                walk(&system.tables, &system.geometry, system.root, VirtAddr::new(address), access, Privilege::User)
                    .map_err(|refusal| format!("fault at {address}: {refusal}"))?
                    .phys
                    .get() as usize
            }
        };
        if place < self.memory.len() { Ok(place) } else { Err(format!("there is no memory at {place}")) }
    }

    /// Runs from an address until halt; says what was damaged outside `own`, or why it stopped.
    fn run(&mut self, start: u64, own: std::ops::Range<usize>) -> Result<Vec<String>, String> {
        let (mut at, mut sum, mut damage) = (start, 0_u8, Vec::new());
        for _ in 0..MOST_INSTRUCTIONS {
            let word = self.memory[self.place(at, Access::Execute)?];
            let address = u64::from(word & 31);
            at += 1;
            match word >> 5 {
                0 => return Ok(damage),
                1 => sum = self.memory[self.place(address, Access::Read)?],
                2 => sum = sum.wrapping_add(self.memory[self.place(address, Access::Read)?]),
                3 => {
                    let place = self.place(address, Access::Write)?;
                    if self.tables.is_none() && !own.contains(&place) {
                        damage.push(format!(
                            "It overwrote byte {place}, which is not its own: {} became {sum}.",
                            self.memory[place]
                        ));
                    }
                    self.memory[place] = sum;
                }
                4 => at = address,
                _ => return Err(format!("byte {word} at {} is no instruction", at - 1)),
            }
        }
        Err(format!("it did not halt in {MOST_INSTRUCTIONS} instructions"))
    }
}

fn run_placed(computer: &mut Computer<'_>, program: &Program, image: &[u8], how: &str) -> Step {
    let start = program.placed_at as usize;
    let ended = computer.run(program.placed_at, start..start + image.len());
    let result = computer.memory.get(start + program.result_at as usize).copied();
    report(program, &format!("placed at {start}, {how}"), ended, result)
}

fn report(program: &Program, how: &str, ended: Result<Vec<String>, String>, result: Option<u8>) -> Step {
    let is_right = ended.is_ok() && result == Some(program.result);
    let verdict = if is_right { "right" } else { "wrong" };
    let title = format!("{}, {how}: {verdict}", program.name);
    let step =
        Step::new(title).line(format!("Its result is {}; it should be {}.", result.unwrap_or(0), program.result));
    match ended {
        Ok(damage) => damage.into_iter().fold(step, Step::line),
        Err(why) => step.line(format!("It stopped: {why}.")),
    }
}

/// The free runs between the programs.
fn free_memory(system: &System, story: &ProgramsStory) -> Step {
    let size = system.geometry.physical_bytes();
    let mut taken: Vec<(u64, u64)> = story
        .programs
        .iter()
        .map(|program| (program.placed_at, program.placed_at + program.code.len() as u64))
        .collect();
    taken.push((size, size));
    taken.sort_unstable();
    let mut table = Table::new("", &["free bytes", "count"]);
    let (mut at, mut sum, mut largest) = (0, 0, 0);
    for (start, end) in taken {
        if start > at {
            table.push(vec![format!("{at}-{start}"), (start - at).to_string()]);
            (sum, largest) = (sum + start - at, largest.max(start - at));
        }
        at = at.max(end);
    }
    let fits = if largest >= story.third_bytes { "fits" } else { "does not fit" };
    Step::new(format!(
        "A third program of {} bytes {fits}: {sum} bytes are free, the largest piece has {largest}",
        story.third_bytes
    ))
    .table(table)
}

/// The same programs, each in a space of its own whose pages lie anywhere.
fn translated(system: &System, story: &ProgramsStory, images: &[Vec<u8>]) -> Result<Vec<Step>, Wrong> {
    let page_bytes = system.geometry.page_bytes();
    let mut kernel = system.clone();
    let mut memory = vec![0; system.geometry.physical_bytes() as usize];
    let mut table = Table::new("", &["program", "virtual", "physical"]);
    let third = vec![0; story.third_bytes as usize];
    let images: Vec<&Vec<u8>> = images.iter().chain([&third]).collect();
    let names: Vec<&str> = story.programs.iter().map(|program| program.name.as_str()).chain(["the third"]).collect();
    let mut spaces = vec![system.clone(); images.len()];
    let most_pages = images.iter().map(|image| image.len().div_ceil(page_bytes as usize)).max().unwrap_or(0);
    // All programs grow at the same time, so that their frames alternate.
    for page in 0..most_pages {
        for ((name, image), space) in names.iter().zip(&images).zip(&mut spaces) {
            let Some(bytes) = image.chunks(page_bytes as usize).nth(page) else { continue };
            let frame = kernel
                .take_frames(1)
                .ok_or_else(|| Wrong::new("expected memory for all programs under translation"))?;
            space.map(page as u64, frame, 1, Perms::ALL, Privilege::User)?;
            let start = (frame * page_bytes) as usize;
            memory[start..start + bytes.len()].copy_from_slice(bytes);
            let range = |number: u64| format!("{}-{}", number * page_bytes, (number + 1) * page_bytes);
            table.push(vec![name.to_string(), range(page as u64), range(frame)]);
        }
    }
    let title =
        "With translation: each program has pages of its own from 0 on, in whatever frames are free; the third fits";
    let mut steps = vec![Step::new(title).table(table)];
    for (program, space) in story.programs.iter().zip(&spaces) {
        let mut computer = Computer { memory: std::mem::take(&mut memory), tables: Some(space) };
        let ended = computer.run(0, 0..0);
        let result = computer.place(program.result_at, Access::Read).ok().map(|place| computer.memory[place]);
        steps.push(report(program, "under translation, is run", ended, result));
        memory = computer.memory;
    }
    Ok(steps)
}

fn listing(story: &ProgramsStory) -> Table {
    let mut table = Table::new("", &["program", "physical", "its own address", "contents"]);
    for program in &story.programs {
        for (place, line) in program.code.iter().enumerate() {
            let physical = (program.placed_at + place as u64).to_string();
            table.push(vec![program.name.clone(), physical, place.to_string(), line.clone()]);
        }
    }
    table
}
