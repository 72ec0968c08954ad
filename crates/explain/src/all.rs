//! `--all`: every address of a small space, each on the untouched state.

use crate::Complaint;
use crate::request::Request;
use crate::system::System;
use crate::translate::{Answer, attempt};
use addr::{Access, VirtAddr};

const HEADER: &str = "va,vpn,tlbi,tlbt,tlb,fault,ppn,pa,co,ci,ct,cache,byte";
/// More would be no picture.
const MOST_BYTES: u64 = 1 << 20;

/// The answers, in the order of addresses.
pub fn answers(system: &System) -> Result<Vec<Answer>, Complaint> {
    if system.geometry.virtual_bytes() > MOST_BYTES {
        let bits = system.geometry.virtual_bits();
        return Err(Complaint::new(format!(
            "--all is for spaces of up to 20 bits, and {} has {bits}",
            system.file.name
        )));
    }
    let requests = (0..system.geometry.virtual_bytes()).map(|at| Request::new(VirtAddr::new(at), Access::Read));
    Ok(requests.map(|request| attempt(&mut system.clone(), request).answer).collect())
}

/// One row an answer: hexadecimal without prefix, `-` where a column does not apply.
pub fn csv(system: &System, answers: &[Answer]) -> String {
    let rows = answers.iter().map(|answer| cells(system, answer).join(",") + "\n");
    format!("{HEADER}\n") + &rows.collect::<String>()
}

/// The same as objects.
pub fn json(system: &System, answers: &[Answer]) -> serde_json::Value {
    let names = HEADER.split(',');
    let object =
        |answer| names.clone().zip(cells(system, answer)).map(|(name, cell)| (name.to_string(), cell.into())).collect();
    answers.iter().map(|answer| serde_json::Value::Object(object(answer))).collect()
}

/// Numbers as wide as the textbook prints them: as many digits as their bits need.
fn cells(system: &System, answer: &Answer) -> Vec<String> {
    let geometry = &system.geometry;
    let digits = |bytes: u64| (u64::BITS - (bytes - 1).leading_zeros()).div_ceil(4) as usize;
    let hex = |value: Option<u64>, largest: u64| {
        value.map_or("-".to_string(), |value| format!("{value:0width$x}", width = digits(largest.max(2))))
    };
    let word = |word: Option<&str>| word.unwrap_or("-").to_string();
    let pages = geometry.virtual_bytes() / geometry.page_bytes();
    let frames = geometry.physical_bytes() / geometry.page_bytes();
    let tlb_sets = system.tlbs.structures().next().map_or(1, |structure| structure.shape.sets as u64);
    let cache_sets = system.file.caches.first().map_or(1, |cache| cache.bytes / cache.line_bytes / cache.ways as u64);
    vec![
        hex(Some(answer.va), geometry.virtual_bytes()),
        hex(answer.vpn, pages),
        hex(answer.tlbi, tlb_sets),
        hex(answer.tlbt, pages / tlb_sets),
        word(answer.tlb),
        word(answer.fault),
        hex(answer.ppn, frames),
        hex(answer.pa, geometry.physical_bytes()),
        hex(answer.co, system.line_bytes),
        hex(answer.ci, cache_sets),
        hex(answer.ct, geometry.physical_bytes() / system.line_bytes / cache_sets),
        word(answer.cache),
        hex(answer.byte.map(u64::from), 256),
    ]
}
