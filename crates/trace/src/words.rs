//! How words of `addr`, which knows no serialisation, are written: addresses as hexadecimal strings, because a JSON
//! number loses bits above 2^53; accesses and permissions as people say them.

use addr::{Access, Perms, VirtAddr};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

/// The word for an attempted access.
pub const fn access_name(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Execute => "execute",
    }
}

pub mod address {
    use super::*;

    pub fn serialize<S: Serializer>(addr: &VirtAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(addr)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VirtAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("an address starts with 0x"))?;
        u64::from_str_radix(digits, 16).map(VirtAddr::new).map_err(D::Error::custom)
    }
}

pub mod access {
    use super::*;

    pub fn serialize<S: Serializer>(access: &Access, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(access_name(*access))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Access, D::Error> {
        let text = String::deserialize(deserializer)?;
        [Access::Read, Access::Write, Access::Execute]
            .into_iter()
            .find(|access| access_name(*access) == text)
            .ok_or_else(|| D::Error::custom("an access is read, write or execute"))
    }
}

pub mod perms {
    use super::*;

    pub fn serialize<S: Serializer>(perms: &Perms, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(perms)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Perms, D::Error> {
        let text = String::deserialize(deserializer)?;
        let letters = [(Perms::READ, 'r'), (Perms::WRITE, 'w'), (Perms::EXECUTE, 'x')];
        Ok(letters
            .into_iter()
            .filter(|(_, letter)| text.contains(*letter))
            .fold(Perms::NONE, |all, (bit, _)| all.union(bit)))
    }
}
