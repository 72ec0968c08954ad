//! Events for programs: one JSON object a line, after a first line that says which version of the format follows.

use crate::Event;

/// The version of the NDJSON format; it grows when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// The first line of a stream of events, without its newline.
pub fn version_line() -> String {
    format!("{{\"event\":\"version\",\"version\":{VERSION}}}")
}

/// One event as a line, without its newline.
pub fn to_ndjson(event: &Event) -> String {
    serde_json::to_string(event).expect("an event is made of strings and numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AreaChange, AreaVerb, Call, CallResult, Cost, Fault, FaultKind, Switch, What};
    use addr::{Access, Perms, VirtAddr};

    fn events() -> Vec<Event> {
        let fault = Fault {
            addr: VirtAddr::new(u64::MAX),
            access: Access::Execute,
            kind: FaultKind::StackGrowth,
            cost: Cost::Minor,
            rip: VirtAddr::new(0x40_1000),
        };
        let area = AreaChange {
            verb: AreaVerb::Changed,
            start: VirtAddr::new(0x1000),
            end: VirtAddr::new(0x3000),
            perms: Perms::READ_EXECUTE,
            name: "[heap]".into(),
        };
        let call = Call { name: "exit_group".into(), arguments: vec!["0".into()], result: CallResult::Never };
        [What::Fault(fault), What::Area(area), What::Call(call), What::Switch(Switch { cpu: 1, from_tid: None })]
            .into_iter()
            .map(|what| Event { at_ns: 12, pid: 2, tid: 3, what })
            .collect()
    }

    #[test]
    fn every_event_comes_back_from_its_line() {
        for event in events() {
            let line = to_ndjson(&event);
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
        }
    }

    #[test]
    fn lines_are_flat_objects() {
        let lines: Vec<String> = events().iter().map(to_ndjson).collect();
        assert_eq!(
            lines[0],
            r#"{"at_ns":12,"pid":2,"tid":3,"event":"fault","addr":"0xffffffffffffffff","access":"execute","kind":"stack_growth","cost":"minor","rip":"0x401000"}"#
        );
        assert_eq!(lines[3], r#"{"at_ns":12,"pid":2,"tid":3,"event":"switch","cpu":1,"from_tid":null}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&version_line()).is_ok());
    }
}
