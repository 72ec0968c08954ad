//! What lies nearest to an address in an address space.

use addr::VirtAddr;
use kernel::mm::AreaInfo;

/// The nearest area in a sentence; `None` in an empty space.
pub fn describe(addr: VirtAddr, areas: &[AreaInfo]) -> Option<String> {
    if let Some(area) = areas.iter().find(|area| area.range.contains(addr)) {
        let distance = bytes(addr - area.range.start);
        return Some(format!("{distance} into {}", line(area)));
    }
    let below = areas.iter().rfind(|area| area.range.end <= addr);
    let above = areas.iter().find(|area| area.range.start > addr);
    match (below, above) {
        (None, None) => None,
        (Some(below), Some(above)) if above.range.start - addr < addr - below.range.end => Some(before(addr, above)),
        (Some(below), _) => Some(format!("{} past the end of {}", bytes(addr - below.range.end), line(below))),
        (None, Some(above)) => Some(before(addr, above)),
    }
}

fn before(addr: VirtAddr, area: &AreaInfo) -> String {
    format!("{} before {}", bytes(area.range.start - addr), line(area))
}

fn line(area: &AreaInfo) -> String {
    let name = if area.name.is_empty() { "anonymous memory" } else { &area.name };
    format!("{:x}-{:x} {} {name}", area.range.start.get(), area.range.end.get(), area.perms)
}

/// A distance with the unit that makes it a short number.
fn bytes(count: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit =
        units.into_iter().find(|(unit, _)| count >= 10 * unit || (count >= *unit && count.is_multiple_of(*unit)));
    match unit {
        Some((unit, name)) => format!("{} {name}", count / unit),
        None if count == 1 => "1 byte".to_owned(),
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use addr::{Perms, VirtRange};
    use kernel::mm::Sharing;

    fn space() -> Vec<AreaInfo> {
        let area = |start, end, name: &str| AreaInfo {
            range: VirtRange::new(VirtAddr::new(start), VirtAddr::new(end)),
            perms: Perms::READ_WRITE,
            offset: 0,
            sharing: Sharing::Private,
            dev: 0,
            ino: 0,
            name: name.to_owned(),
        };
        vec![area(0x10000, 0x12000, ""), area(0x40000, 0x41000, "[heap]")]
    }

    #[test]
    fn the_nearer_neighbour_is_named() {
        let near = |addr| describe(VirtAddr::new(addr), &space()).unwrap();
        assert_eq!(near(0), "64 KiB before 10000-12000 rw- anonymous memory");
        assert_eq!(near(0x12000), "0 bytes past the end of 10000-12000 rw- anonymous memory");
        assert_eq!(near(0x3fff8), "8 bytes before 40000-41000 rw- [heap]");
        assert_eq!(near(0x40001), "1 byte into 40000-41000 rw- [heap]");
        assert_eq!(describe(VirtAddr::new(0), &[]), None);
    }
}
