//! Areas as events.

use super::{AreaInfo, Mm, SpaceId};
use std::collections::BTreeMap;
use trace::{AreaChange, AreaVerb};

impl Mm {
    /// How the areas of a space differ from what they were at the last call, in order; at the first call, all of them
    /// are new. It costs a look at each area, and is for those who watch.
    pub fn area_changes(&mut self, id: SpaceId) -> Vec<AreaChange> {
        let now: Vec<_> = self.areas(id).collect();
        let space = self.space_mut(id);
        let changes = differences(&space.told, &now);
        space.told = now;
        changes
    }
}

fn differences(before: &[AreaInfo], now: &[AreaInfo]) -> Vec<AreaChange> {
    let mut by_start: BTreeMap<_, (Option<&AreaInfo>, Option<&AreaInfo>)> = BTreeMap::new();
    before.iter().for_each(|area| by_start.entry(area.range.start).or_default().0 = Some(area));
    now.iter().for_each(|area| by_start.entry(area.range.start).or_default().1 = Some(area));
    let told = by_start.into_values().filter_map(|pair| match pair {
        (None, Some(new)) => Some(change(AreaVerb::Mapped, new)),
        (Some(old), None) => Some(change(AreaVerb::Unmapped, old)),
        (Some(old), Some(new)) if old != new => Some(change(AreaVerb::Changed, new)),
        _ => None,
    });
    told.collect()
}

fn change(verb: AreaVerb, area: &AreaInfo) -> AreaChange {
    let AreaInfo { range, perms, name, .. } = area;
    AreaChange { verb, start: range.start, end: range.end, perms: *perms, name: name.clone() }
}
