//! What can be asked, and how it is written in one line.

use machine::Format;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Something asked of a running pagewalk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// The report as of now.
    Report(Format),
    /// The address space of each process.
    Maps,
    /// Events from now on, or no more of them.
    Events(Flow),
    /// An end: SIGTERM to each process, and SIGKILL to those that are left after so long.
    Stop(Duration),
}

/// Whether events are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Flow {
    /// Those that `--events` names, or all.
    On,
    /// None.
    Off,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report(Format::Text) => f.write_str("report text"),
            Self::Report(Format::Json) => f.write_str("report json"),
            Self::Maps => f.write_str("maps"),
            Self::Events(Flow::On) => f.write_str("events on"),
            Self::Events(Flow::Off) => f.write_str("events off"),
            Self::Stop(grace) => write!(f, "stop {}", grace.as_millis()),
        }
    }
}

/// A line that asks for nothing known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownRequest;

impl FromStr for Request {
    type Err = UnknownRequest;

    fn from_str(line: &str) -> Result<Self, UnknownRequest> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("report", "text") => Ok(Self::Report(Format::Text)),
            ("report", "json") => Ok(Self::Report(Format::Json)),
            ("maps", "") => Ok(Self::Maps),
            ("events", "on") => Ok(Self::Events(Flow::On)),
            ("events", "off") => Ok(Self::Events(Flow::Off)),
            ("stop", grace) => {
                grace.parse().map(|ms| Self::Stop(Duration::from_millis(ms))).map_err(|_| UnknownRequest)
            }
            _ => Err(UnknownRequest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_arrives() {
        let requests = [
            Request::Report(Format::Text),
            Request::Report(Format::Json),
            Request::Maps,
            Request::Events(Flow::On),
            Request::Events(Flow::Off),
            Request::Stop(Duration::from_millis(1500)),
        ];
        for request in requests {
            assert_eq!(request.to_string().parse(), Ok(request));
        }
        for line in ["", "report", "maps 2", "stop", "stop -1", "stop soon"] {
            assert_eq!(line.parse::<Request>(), Err(UnknownRequest), "{line}");
        }
    }
}
