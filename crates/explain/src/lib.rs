//! The memory systems of the textbooks, drawn and computed step by step.
//!
//! A [`Source`] is a machine file; the [`System`] built of it has the tables and walk of `paging`, and the TLBs and
//! caches of `model`: the code that real runs use. An access to it, or the machine's own tale, becomes a [`Story`] of
//! steps, which [`text`] and [`svg`] draw. Nothing here needs the engine or a particular platform.
#![forbid(unsafe_code)]

pub mod all;
mod complaint;
mod contents;
mod data;
mod machine_file;
mod pager;
pub mod presets;
pub mod references;
mod request;
mod stories;
mod story;
pub mod svg;
mod system;
pub mod text;
mod translate;
mod wrong;

pub use complaint::Complaint;
pub use machine_file::{MachineFile, Source, schema};
pub use request::Request;
pub use story::{Block, Field, Step, Story, Table};
pub use system::System;
pub use text::Ink;
pub use translate::Answer;

/// What happens to the requests one after the other, or the machine's own story if there are none.
///
/// # Errors
/// The machine has no story, or its story makes no sense.
pub fn tell(source: &Source, system: &mut System, requests: &[Request]) -> Result<Story, Complaint> {
    let mut story = Story {
        title: format!("{}: {}", system.file.name, system.file.summary),
        source: system.file.source.clone(),
        steps: Vec::new(),
    };
    if !requests.is_empty() {
        story.steps = requests.iter().flat_map(|&request| translate::translate(system, request).steps).collect();
        return Ok(story);
    }
    let Some(own) = system.file.story.clone() else {
        let name = &system.file.name;
        return Err(Complaint::new(format!("{name} tells no story of its own: give it an address, such as 0x3d4")));
    };
    story.steps = stories::tell(system, &own).map_err(|wrong| source.complain(&wrong.at("story")))?;
    Ok(story)
}

/// What each request comes to at its first attempt, in the columns of the textbook's exercise; the state is carried along.
pub fn answers(system: &mut System, requests: &[Request]) -> Vec<Answer> {
    requests.iter().map(|&request| translate::translate(system, request).answer).collect()
}
