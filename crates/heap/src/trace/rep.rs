//! The malloc lab's text format, with the headers of its three drivers.
//!
//! ```text
//!   2002                        2010s                          2022
//!   20000   suggested heap      1    weight                    1      weight
//!   3       blocks              3    blocks                    3      blocks
//!   8       operations          8    operations                8      operations
//!   1       weight, unused      0    ranges not checked?       1152   peak of payloads in bytes
//!
//!   a 0 512     malloc
//!   r 0 640     realloc
//!   f 0         free; "f -1" is free(NULL)
//! ```
//! No heap is suggested to have under 4 bytes, so a small first number is a weight: 0 nothing, 1 both scores, 2
//! utilisation, 3 throughput. The first driver used neither the heap size nor the weight, and scored every trace alike.
//! The fourth number says nothing that the trace does not.

use super::{Live, Malformed, Op, Trace, Weight};
use std::fmt::Write;

pub(super) fn parse(bytes: &[u8]) -> Result<Trace, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        malformed(line, "neither text nor a compact trace")
    })?;
    // Editors put this mark before text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let all = text.lines().count();
    let mut lines = text.lines().enumerate().map(|(line, text)| (line + 1, text.trim()));
    let mut lines = lines.by_ref().filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    let mut header = || header(lines.next(), all);
    let ((_, first), (ids_line, ids), (_, count), _) = (header()?, header()?, header()?, header()?);
    let mut live = Live::none_of(ids, bytes.len()).map_err(|reason| malformed(ids_line, &reason))?;
    let mut trace = Trace { ids: live.0.len() as u32, weight: weight(first), ..Trace::default() };
    let mut seen = 0;
    for (line, text) in lines {
        seen += 1;
        if let Some(op) = operation(text, &live).map_err(|reason| malformed(line, &reason))? {
            live.step(&op).map_err(|reason| malformed(line, &reason))?;
            trace.ops.push(op);
        }
    }
    if seen != count {
        return Err(malformed(all, &format!("the header says {count} operations, and there are {seen}")));
    }
    Ok(trace)
}

/// The line that a number of the header is in, and the number.
fn header(line: Option<(usize, &str)>, end: usize) -> Result<(usize, u64), Malformed> {
    let (line, text) = line.ok_or_else(|| malformed(end.max(1), "a header has four numbers, one a line"))?;
    let number = text.split_whitespace().next().unwrap_or("");
    let number = number.parse().map_err(|_| malformed(line, &format!("{text:?} is not a number of the header")))?;
    Ok((line, number))
}

/// One line; `None` is `free(NULL)`.
fn operation(text: &str, live: &Live) -> Result<Option<Op>, String> {
    let mut words = text.split_whitespace();
    let kind = words.next().unwrap_or("");
    let block = words.next().ok_or("an operation needs the number of its block")?;
    if (kind, block) == ("f", "-1") {
        return Ok(None);
    }
    let id = block.parse().map_err(|_| format!("{block:?} is not the number of a block"))?;
    let mut size = || {
        let word = words.next().ok_or("an allocation needs a size")?;
        word.parse().map_err(|_| format!("{word:?} is not a size"))
    };
    let op = match kind {
        "a" => Op::Malloc { id, bytes: size()? },
        "r" => {
            let bytes = size()?;
            let allocated = live.0.get(id as usize).copied().unwrap_or(true);
            match (allocated, bytes) {
                (false, _) => Op::Malloc { id, bytes },
                (true, 0) => Op::Free { id },
                (true, _) => Op::Realloc { id, bytes },
            }
        }
        "f" => Op::Free { id },
        _ => return Err(format!("{kind:?} is none of a, r and f")),
    };
    match words.next() {
        Some(extra) => Err(format!("{extra:?} is too much")),
        None => Ok(Some(op)),
    }
}

/// The weight that a header's first number names, if it is one.
fn weight(first: u64) -> Weight {
    match first {
        0 => Weight::None,
        2 => Weight::Utilisation,
        3 => Weight::Throughput,
        _ => Weight::Both,
    }
}

fn malformed(line: usize, reason: &str) -> Malformed {
    Malformed { place: format!("line {line}"), reason: reason.into() }
}

/// The form of the 2010s, which the first driver reads as well.
pub(super) fn write(trace: &Trace) -> String {
    let weight = match trace.weight {
        Weight::None => 0,
        Weight::Both => 1,
        Weight::Utilisation => 2,
        Weight::Throughput => 3,
    };
    let mut text = format!("{weight}\n{}\n{}\n0\n", trace.ids, trace.ops.len());
    for op in &trace.ops {
        match *op {
            Op::Malloc { id, bytes } | Op::Calloc { id, bytes } | Op::Aligned { id, bytes, .. } => {
                writeln!(text, "a {id} {bytes}")
            }
            Op::Realloc { id, bytes } => writeln!(text, "r {id} {bytes}"),
            Op::Free { id } => writeln!(text, "f {id}"),
        }
        .expect("a string takes all that is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_all_drivers_are_one_trace() {
        let ops = "a 0 512\na 1 128\nr 0 640\nf 1\nf -1\nf 0\n";
        let [old, new, newest] = ["20000\n2\n6\n0", "1\n2\n6\n0", "\u{feff}1\r\n2\r\n6\r\n768\r"]
            .map(|header| parse(format!("{header}\n{ops}").as_bytes()).expect("a header of a driver"));
        assert_eq!((&old, &old), (&new, &newest), "the first driver did not use its weight");
        assert_eq!((old.ops.len(), old.weight, old.peak_payload()), (5, Weight::Both, (768, 3)));
    }

    #[test]
    fn a_small_first_number_is_a_weight_and_is_written_as_one() {
        let weights = [Weight::None, Weight::Both, Weight::Utilisation, Weight::Throughput];
        for (code, weight) in weights.into_iter().enumerate() {
            let trace = parse(format!("{code}\n1\n2\n1\na 0 8\nf 0\n").as_bytes()).expect("a weight");
            assert_eq!(trace.weight, weight);
            assert_eq!(parse(write(&trace).as_bytes()), Ok(trace));
        }
    }

    #[test]
    fn a_malformed_trace_has_a_line_and_a_reason() {
        let cases = [
            "",
            "9\n1\n1\nx\n",
            "9\n1\n1\n1\nq 0 1\n",
            "9\n1\n1\n1\na 1 1\n",
            "9\n1\n",
            "9\n1\n1\n1\nf 0\n",
            "9\n3000000000\n1\n1\na 0 1\n",
            "9\n1\n1\n1\na 0 140737488355329\n",
            "9\n1\n1\n1\na 0 \0\u{1b}[2J\n",
            "9\n1\n1\n1\na 0\n",
        ];
        let more =
            ["9\n1\n2\n1\na 0 1\n", "9\n1\n2\n1\na 0 1\na 0 1\n", "9\n1\n1\n1\na 0 -1\n", "9\n1\n1\n1\na 0 1 2\n"];
        let sentences =
            cases.iter().chain(&more).map(|text| parse(text.as_bytes()).expect_err("malformed").to_string());
        insta::assert_snapshot!(sentences.collect::<Vec<_>>().join("\n"));
    }
}
