//! What is asked of a machine: an address with what is attempted there.

use crate::Complaint;
use addr::{Access, Privilege, VirtAddr};

/// One access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Where.
    pub addr: VirtAddr,
    /// What.
    pub access: Access,
    /// By whom.
    pub privilege: Privilege,
    /// The byte that a store puts there.
    pub value: u8,
}

impl Request {
    /// A program's access; a store puts 0 there.
    pub fn new(addr: VirtAddr, access: Access) -> Self {
        Self { addr, access, privilege: Privilege::User, value: 0 }
    }

    /// Reads `0x3d4` or `r:0x3d4` (a read), `w:0x3d4` or `w:0x3d4=0x7f` (a write), `x:0x3d4` (a fetch); `k` before the
    /// letter makes it the kernel's, as in `kr:0x3d4`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(word: &str) -> Result<Self, Complaint> {
        let wrong = || {
            Complaint::new(format!(
                "expected an address below 2^64 such as 0x3d4, w:0x3d4 or w:0x3d4=0x7f (write), x:0x3d4 (fetch), kr:0x3d4 \
                 (the kernel reads), not \"{word}\""
            ))
        };
        let (how, rest) = word.split_once(':').unwrap_or(("r", word));
        let (privilege, letter) =
            how.strip_prefix('k').map_or((Privilege::User, how), |letter| (Privilege::Supervisor, letter));
        let access = match letter {
            "r" => Access::Read,
            "w" => Access::Write,
            "x" => Access::Execute,
            _ => return Err(wrong()),
        };
        let (digits, value) = match rest.split_once('=') {
            Some((digits, value)) if access == Access::Write => (digits, Some(value)),
            Some(_) => return Err(wrong()),
            None => (rest, None),
        };
        let value = value.map_or(Some(0), |value| number(value).and_then(|value| u8::try_from(value).ok()));
        let addr = number(digits).map(VirtAddr::new).ok_or_else(wrong)?;
        Ok(Self { addr, access, privilege, value: value.ok_or_else(wrong)? })
    }

    /// `read`, `write 0x7f`, `fetch`, and by whom if it is the kernel.
    pub fn verb(&self) -> String {
        let what = match self.access {
            Access::Read => "read".to_string(),
            Access::Write => format!("write {:#04x}", self.value),
            Access::Execute => "fetch".to_string(),
        };
        if self.privilege == Privilege::Supervisor { format!("{what}, by the kernel") } else { what }
    }
}

/// Hexadecimal after `0x`, else decimal.
fn number(digits: &str) -> Option<u64> {
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => u64::from_str_radix(digits, 16).ok(),
        None if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_written() {
        let request = Request::parse("w:0x3d4=0x7f").expect("a write");
        assert_eq!((request.addr.get(), request.access, request.value), (0x3d4, Access::Write, 0x7f));
        assert_eq!(Request::parse("980"), Ok(Request::new(VirtAddr::new(0x3d4), Access::Read)));
        assert_eq!(Request::parse("kx:1").expect("a fetch").privilege, Privilege::Supervisor);
        for wrong in
            ["", "0x", "x", "r:", "w:1=256", "r:1=2", "q:1", "kk:1", "-1", "+1", "0x+1", "0x1g", "18446744073709551616"]
        {
            assert!(Request::parse(wrong).is_err(), "{wrong}");
        }
    }
}
