//! One frame under two spaces, shared and then private copy-on-write.

use crate::request::Request;
use crate::story::{Step, Table};
use crate::system::System;
use crate::translate::translate;
use crate::wrong::Wrong;
use addr::{Access, Perms, Privilege, VirtAddr};
use schemars::JsonSchema;
use serde::Deserialize;

/// The story's data.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SharingStory {
    /// The shared frame.
    pub shared_frame: u64,
    /// The page that has it in each of the two spaces.
    pub shared_pages: [u64; 2],
    /// The frame that both have privately.
    pub private_frame: u64,
    /// The page that has it in each of the two spaces.
    pub private_pages: [u64; 2],
    /// The frame that the copy goes to.
    pub copy_frame: u64,
}

/// More would be no picture.
const MOST_FRAMES: u64 = 1024;
const NAMES: [&str; 2] = ["A", "B"];

/// The two spaces and the bytes of memory: one number a frame is enough to see who sees what.
struct Spaces {
    spaces: [System; 2],
    values: Vec<u64>,
}

/// The steps.
pub fn tell(system: &System, story: &SharingStory) -> Result<Vec<Step>, Wrong> {
    super::pages_to_draw(system)?;
    let (_, frames) = system.pages_and_frames();
    if frames > MOST_FRAMES {
        return Err(Wrong::new(format!("expected a memory of at most {MOST_FRAMES} frames")));
    }
    for (key, frame) in
        [("shared-frame", story.shared_frame), ("private-frame", story.private_frame), ("copy-frame", story.copy_frame)]
    {
        if frame >= frames {
            return Err(Wrong::new(format!("expected less than {frames}")).at(key));
        }
    }
    let mut both = Spaces { spaces: [system.clone(), system.clone()], values: vec![0; frames as usize] };
    for space in 0..2 {
        let user = Privilege::User;
        let here = &mut both.spaces[space];
        let shared = here.map(story.shared_pages[space], story.shared_frame, 1, Perms::READ_WRITE, user);
        shared.map_err(|wrong| wrong.item(space).at("shared-pages"))?;
        let private = here.map(story.private_pages[space], story.private_frame, 1, Perms::READ, user);
        private.map_err(|wrong| wrong.item(space).at("private-pages"))?;
    }
    let mut steps =
        vec![both.show("One frame is shared, and one is private to both until it is written (read-only for now)")];
    let [at_a, at_b] = story.shared_pages;
    both.write(0, at_a, 1, &mut steps);
    both.read(1, at_b, &mut steps);
    let [at_a, at_b] = story.private_pages;
    both.read(0, at_a, &mut steps);
    both.read(1, at_b, &mut steps);
    both.write(1, at_b, 2, &mut steps);
    both.copy(1, at_b, story, &mut steps)?;
    both.write(1, at_b, 2, &mut steps);
    both.read(0, at_a, &mut steps);
    both.read(1, at_b, &mut steps);
    steps.push(both.show("In the end"));
    Ok(steps)
}

impl Spaces {
    fn reach(&mut self, space: usize, page: u64, access: Access) -> (Option<u64>, String) {
        let addr = VirtAddr::new(page * self.spaces[space].geometry.page_bytes());
        let done = translate(&mut self.spaces[space], Request::new(addr, access));
        let code = |refusal: paging::Refusal| {
            refusal.error_code().map_or(String::new(), |code| format!(", error code {code}"))
        };
        let fault = done.refusal.map(|refusal| format!("a fault: {refusal}{}", code(refusal)));
        (done.answer.ppn, fault.unwrap_or_default())
    }

    fn read(&mut self, space: usize, page: u64, steps: &mut Vec<Step>) {
        let (frame, fault) = self.reach(space, page, Access::Read);
        let what = frame.map_or(fault, |frame| format!("frame {frame}, value {}", self.values[frame as usize]));
        steps.push(Step::new(format!("{} reads its page {page}: {what}", NAMES[space])));
    }

    fn write(&mut self, space: usize, page: u64, value: u64, steps: &mut Vec<Step>) {
        let (frame, fault) = self.reach(space, page, Access::Write);
        if let Some(frame) = frame {
            self.values[frame as usize] = value;
        }
        let what = frame.map_or(fault, |frame| format!("frame {frame} gets the value {value}"));
        steps.push(Step::new(format!("{} writes its page {page}: {what}", NAMES[space])));
    }

    /// What the kernel does about a store to a private page.
    fn copy(&mut self, space: usize, page: u64, story: &SharingStory, steps: &mut Vec<Step>) -> Result<(), Wrong> {
        self.values[story.copy_frame as usize] = self.values[story.private_frame as usize];
        self.spaces[space].unmap(page);
        self.spaces[space].map(page, story.copy_frame, 1, Perms::READ_WRITE, Privilege::User)?;
        let title = format!(
            "The kernel copies frame {} to frame {} and maps that for {}",
            story.private_frame, story.copy_frame, NAMES[space]
        );
        steps.push(self.show(&title).line("The instruction runs again."));
        Ok(())
    }

    fn show(&self, title: &str) -> Step {
        let mut table = Table::new("", &["space", "page", "frame", "rights", "value"]);
        for (space, name) in self.spaces.iter().zip(NAMES) {
            for page in 0..space.geometry.virtual_bytes() / space.geometry.page_bytes() {
                if let Some((frame, perms)) = space.entry(page) {
                    let value = self.values[frame as usize].to_string();
                    table.push(vec![name.into(), page.to_string(), frame.to_string(), perms.to_string(), value]);
                }
            }
        }
        Step::new(title).table(table)
    }
}
