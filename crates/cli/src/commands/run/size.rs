//! Sizes on the command line.

/// A number of bytes, with K, M, G or T for 2^10, 2^20, 2^30 or 2^40 of them.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| "a size is a number, then K, M, G or T".to_owned())?;
    let unit = text[digits.len()..].to_ascii_uppercase();
    let shift = match unit.strip_suffix("IB").or(unit.strip_suffix('B')).unwrap_or(&unit) {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(format!("'{unit}' is no unit; K, M, G and T are")),
    };
    number.checked_mul(1 << shift).ok_or_else(|| "that is more than a machine can have".to_owned())
}

/// A number of bytes for people: three digits and a unit.
pub fn text(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        None => format!("{bytes} B"),
        Some((shift, unit)) => {
            let number = bytes as f64 / (1u64 << shift) as f64;
            if number < 100.0 && bytes & ((1 << shift) - 1) != 0 {
                format!("{number:.1} {unit}")
            } else {
                format!("{number:.0} {unit}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("64M"), Ok(64 << 20));
        assert_eq!(parse("2gib"), Ok(2 << 30));
        assert_eq!(parse("1kB"), Ok(1024));
        assert!(parse("").is_err() && parse("M").is_err() && parse("3 parsecs").is_err() && parse("-1").is_err());
        assert!(parse("99999999999T").is_err());
    }

    #[test]
    fn people_get_three_digits() {
        assert_eq!(text(512), "512 B");
        assert_eq!(text(2 << 20), "2 MiB");
        assert_eq!(text(2_202_010), "2.1 MiB");
        assert_eq!(text(500_000_000), "477 MiB");
    }
}
