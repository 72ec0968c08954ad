//! Durations on the command line.

use std::time::Duration;

/// A whole number and its unit: `500ms`, `10s`, `2m`, `1h`. Nothing is guessed: a number without a unit, a fraction or
/// nothing at all is refused, and so is zero.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is a whole number and a unit, ms, s, m or h: for example 10s".to_owned();
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..unit_at].parse().map_err(|_| wrong())?;
    let unit_ms = match &text[unit_at..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.checked_mul(unit_ms) {
        Some(0) => Err("a duration is more than zero".to_owned()),
        Some(ms) if ms <= MAX_MS => Ok(Duration::from_millis(ms)),
        _ => Err("a duration is at most a year".to_owned()),
    }
}

/// A year.
const MAX_MS: u64 = 365 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
    }

    #[test]
    fn nothing_else_is_one() {
        for text in ["", "10", "s", "-1s", "+1s", "1.5s", " 1s", "1s ", "1 s", "1S", "1d", "1s1s", "0s", "0ms"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse("9000h").is_err() && parse("99999999999999999999s").is_err());
    }
}
