//! The compact format: a magic line, then unsigned LEB128 numbers.
//!
//! ```text
//!   "pagewalk heap trace 1\n"   blocks   operations   weight   operation ...
//!   operation = kind + 8 * zigzag(block - the last operation's block), then
//!               malloc 0, calloc 1, realloc 3: the size;  aligned 2: the alignment's exponent and the size;  free 4
//! ```

use super::{Live, Malformed, Op, Trace, Weight};

pub(super) const MAGIC: &[u8] = b"pagewalk heap trace ";
const VERSION: &[u8] = b"1\n";
const WEIGHTS: [Weight; 4] = [Weight::None, Weight::Both, Weight::Utilisation, Weight::Throughput];

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn number(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or("the trace ends in the middle of a number")?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number of more than 64 bits".into())
    }

    fn operation(&mut self, last: u32) -> Result<Op, String> {
        let code = self.number()?;
        let delta = (code >> 4) as i64 ^ -((code >> 3 & 1) as i64);
        let id = u32::try_from(i64::from(last).wrapping_add(delta)).map_err(|_| "no block has this number")?;
        Ok(match code & 7 {
            0 => Op::Malloc { id, bytes: self.number()? },
            1 => Op::Calloc { id, bytes: self.number()? },
            2 => {
                let exponent = u32::try_from(self.number()?).unwrap_or(u32::MAX);
                let alignment = 1_u64.checked_shl(exponent).ok_or("an alignment of more than 64 bits")?;
                Op::Aligned { id, alignment, bytes: self.number()? }
            }
            3 => Op::Realloc { id, bytes: self.number()? },
            4 => Op::Free { id },
            kind => return Err(format!("{kind} is no kind of operation")),
        })
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Trace, Malformed> {
    if !bytes[MAGIC.len()..].starts_with(VERSION) {
        return Err(Malformed {
            place: format!("byte {}", MAGIC.len()),
            reason: "a trace of another version than 1".into(),
        });
    }
    let mut reader = Reader { bytes, at: MAGIC.len() + VERSION.len() };
    read(&mut reader).map_err(|reason| Malformed { place: format!("byte {}", reader.at), reason })
}

fn read(reader: &mut Reader) -> Result<Trace, String> {
    let mut live = Live::none_of(reader.number()?, reader.bytes.len())?;
    let count = reader.number()?;
    let weight = *WEIGHTS.get(reader.number()? as usize).ok_or("a weight is 0 to 3")?;
    let mut trace = Trace { ids: live.0.len() as u32, weight, ..Trace::default() };
    let mut last = 0;
    for _ in 0..count {
        let op = reader.operation(last)?;
        live.step(&op)?;
        last = op.id();
        trace.ops.push(op);
    }
    if reader.at == reader.bytes.len() { Ok(trace) } else { Err("bytes after the last operation".into()) }
}

pub(super) fn write(trace: &Trace) -> Vec<u8> {
    let mut bytes = [MAGIC, VERSION].concat();
    let weight = WEIGHTS.iter().position(|&weight| weight == trace.weight).expect("all weights are listed");
    [u64::from(trace.ids), trace.ops.len() as u64, weight as u64]
        .into_iter()
        .for_each(|value| number(&mut bytes, value));
    let mut last = 0;
    for op in &trace.ops {
        let delta = i64::from(op.id()) - last;
        let block = ((delta << 1) ^ (delta >> 63)) as u64;
        last = i64::from(op.id());
        let mut put = |kind: u64, rest: &[u64]| {
            number(&mut bytes, kind | block << 3);
            rest.iter().for_each(|&value| number(&mut bytes, value));
        };
        match *op {
            Op::Malloc { bytes, .. } => put(0, &[bytes]),
            Op::Calloc { bytes, .. } => put(1, &[bytes]),
            Op::Aligned { alignment, bytes, .. } => put(2, &[u64::from(alignment.ilog2()), bytes]),
            Op::Realloc { bytes, .. } => put(3, &[bytes]),
            Op::Free { .. } => put(4, &[]),
        }
    }
    bytes
}

fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(sizes in prop::collection::vec((0_u8..3, 0..=super::super::MOST_BYTES, 0_u32..48), 0..50)) {
            let mut ops = Vec::new();
            for (id, &(kind, bytes, power)) in (0..).zip(&sizes) {
                ops.push(match kind {
                    0 => Op::Malloc { id, bytes },
                    1 => Op::Calloc { id, bytes },
                    _ => Op::Aligned { id, alignment: 1 << power, bytes },
                });
                if kind == 1 && id > 3 {
                    ops.push(Op::Realloc { id: id / 2, bytes });
                }
            }
            ops.extend((0..sizes.len() as u32).map(|id| Op::Free { id }));
            let trace = Trace { ids: sizes.len() as u32, ops, ..Trace::default() };
            prop_assert_eq!(parse(&write(&trace)), Ok(trace));
        }

        #[test]
        fn hostile_bytes_are_malformed_or_a_trace(tail in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Trace::parse("hostile", &[MAGIC, &tail].concat());
            let _ = Trace::parse("hostile", &tail);
        }
    }
}
