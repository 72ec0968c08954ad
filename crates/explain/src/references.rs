//! `--refs`: replacement policies on a reference string.

use super::story::{Step, Story, Table};
use addr::Access;
use model::policies::Future;
use model::{Outcome, PolicyKind, Reference, Settings, working_sets};
use serde::Serialize;

/// The counts of one policy and size.
#[derive(Clone, Debug, Serialize)]
pub struct Count {
    /// The policy's name.
    pub policy: &'static str,
    /// How many frames memory has.
    pub frames: usize,
    /// References that found their page absent.
    pub faults: u64,
}

/// What to replay.
pub struct Question {
    /// The string.
    pub references: Vec<Reference>,
    /// Sizes of memory, in frames.
    pub frames: Vec<usize>,
    /// Who chooses victims.
    pub policies: Vec<PolicyKind>,
    /// What some of them need to know.
    pub settings: Settings,
    /// The window of the working set, in references, if that is wanted.
    pub window: Option<usize>,
}

/// Longer strings get counts only.
const MOST_DRAWN: usize = 64;

/// `1 2 3`, separated by blanks or commas; `w:3` is a store. Numbers are decimal, or hexadecimal after `0x`.
pub fn parse(text: &str) -> Result<Vec<Reference>, String> {
    let words =
        text.split(|character: char| character.is_whitespace() || character == ',').filter(|word| !word.is_empty());
    let references = words.map(|word| {
        let (access, digits) = word.strip_prefix("w:").map_or((Access::Read, word), |digits| (Access::Write, digits));
        let page = match digits.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => digits.parse().ok(),
        };
        let page = page.filter(|&page| page < 1 << 63);
        page.map(|page| Reference::new(page, access))
            .ok_or_else(|| format!("expected a page number in the reference string, not \"{word}\""))
    });
    references.collect()
}

/// `3`, `1..7` (both ends included) or `1,2,8`.
pub fn parse_frames(text: &str) -> Result<Vec<usize>, String> {
    let number = |digits: &str| {
        let frames = digits.trim().parse::<usize>().ok().filter(|frames| (1..=1 << 28).contains(frames));
        frames.ok_or_else(|| format!("expected a number of frames, 1..7 or 1,2,4 in --frames, not \"{text}\""))
    };
    let mut all = Vec::new();
    for part in text.split(',') {
        match part.split_once("..") {
            Some((first, last)) => all.extend(number(first)?..=number(last.trim_start_matches('='))?),
            None => all.push(number(part)?),
        }
    }
    if all.is_empty() { Err(format!("--frames {text} is an empty range")) } else { Ok(all) }
}

/// `fifo,lru`, or `all`.
pub fn parse_policies(text: &str) -> Result<Vec<PolicyKind>, String> {
    if text == "all" {
        return Ok(PolicyKind::ALL.to_vec());
    }
    let named = |name: &str| {
        PolicyKind::named(name.trim())
            .ok_or_else(|| format!("there is no policy {name}; `pagewalk policies` lists them"))
    };
    text.split(',').map(named).collect()
}

/// Faults for each policy and size, policies in order.
pub fn counts(question: &Question) -> Vec<Count> {
    let future = Future::of(&question.references);
    let mut counts = Vec::new();
    for &kind in &question.policies {
        for &frames in &question.frames {
            let faults = kind.replayed(frames, &question.settings, &future).replay(&question.references);
            counts.push(Count { policy: kind.name(), frames, faults });
        }
    }
    counts
}

/// `policy,frames,faults`.
pub fn csv(counts: &[Count]) -> String {
    let rows = counts.iter().map(|count| format!("{},{},{}\n", count.policy, count.frames, count.faults));
    "policy,frames,faults\n".to_string() + &rows.collect::<String>()
}

/// Counts, anomalies, working sets, then every frame table if the string is short.
pub fn story(question: &Question, counts: &[Count]) -> Story {
    let length = question.references.len();
    let distinct =
        question.references.iter().map(|reference| reference.page()).collect::<std::collections::HashSet<_>>().len();
    let mut steps = vec![count_step(question, counts)];
    steps.extend(question.window.map(|window| window_step(question, window)));
    if length <= MOST_DRAWN {
        let future = Future::of(&question.references);
        for &kind in &question.policies {
            for &frames in &question.frames {
                steps.push(frame_table(question, kind, frames, &future));
            }
        }
    }
    Story { title: format!("{length} references to {distinct} pages"), source: String::new(), steps }
}

fn count_step(question: &Question, counts: &[Count]) -> Step {
    let mut head = vec!["policy".to_string()];
    head.extend(question.frames.iter().map(|frames| frames.to_string()));
    let mut table = Table { head, ..Table::new("", &[]) };
    let mut anomalies = Vec::new();
    for rows in counts.chunks(question.frames.len()) {
        let mut row = vec![rows[0].policy.to_string()];
        row.extend(rows.iter().map(|count| count.faults.to_string()));
        table.push(row);
        for pair in rows.windows(2).filter(|pair| pair[0].frames < pair[1].frames && pair[0].faults < pair[1].faults) {
            anomalies.push(format!(
                "Belady's anomaly: {} has {} faults with {} frames and more, {}, with {}.",
                pair[0].policy, pair[0].faults, pair[0].frames, pair[1].faults, pair[1].frames
            ));
        }
    }
    anomalies.into_iter().fold(Step::new("Faults for each number of frames").table(table), Step::line)
}

fn window_step(question: &Question, window: usize) -> Step {
    let sets = working_sets(&question.references, window);
    let mut step = Step::new(format!("The working set of the last {window} references"))
        .line(format!("Mean {:.2} pages, largest {}.", sets.mean(), sets.largest()))
        .line(format!("A memory that holds exactly the working set has {} faults.", sets.faults));
    if sets.sizes.len() <= MOST_DRAWN {
        let mut table = Table { head: vec!["reference".into()], ..Table::new("", &[]) };
        let mut row = vec!["pages".to_string()];
        for (reference, size) in question.references.iter().zip(&sets.sizes) {
            table.head.push(reference.page().to_string());
            row.push(size.to_string());
        }
        table.push(row);
        step = step.table(table);
    }
    let mut table = Table::new("", &["frames", "references while the working set did not fit", ""]);
    for &frames in &question.frames {
        let over = sets.overcommitted(frames);
        let verdict = if 2 * over > sets.sizes.len() as u64 { "thrashing" } else { "" };
        table.push(vec![frames.to_string(), over.to_string(), verdict.to_string()]);
    }
    step.table(table)
}

/// A column a reference: what every frame holds after it, whether it faulted, who left.
fn frame_table(question: &Question, kind: PolicyKind, frames: usize, future: &Future) -> Step {
    let mut policy = kind.replayed(frames, &question.settings, future);
    let mut held: Vec<Option<u64>> = Vec::new();
    let mut head = vec!["page".to_string()];
    let (mut rows, mut faults, mut victims) = (Vec::new(), vec!["fault".to_string()], vec!["victim".to_string()]);
    let mut count = 0;
    for &reference in &question.references {
        let prefix = if reference.access() == Access::Write { "w:" } else { "" };
        head.push(format!("{prefix}{}", reference.page()));
        let outcome = policy.reference(reference);
        let page = Some(reference.page());
        match outcome {
            Outcome::Hit => {}
            Outcome::Loaded => held.push(page),
            Outcome::Replaced(victim) => {
                let frame = held.iter().position(|&held| held == Some(victim)).expect("the victim was in memory");
                held[frame] = page;
            }
        }
        count += u64::from(outcome != Outcome::Hit);
        faults.push(if outcome == Outcome::Hit { "" } else { "F" }.to_string());
        victims.push(if let Outcome::Replaced(victim) = outcome { victim.to_string() } else { String::new() });
        rows.push(held.clone());
    }
    let mut table = Table { head, ..Table::new("", &[]) };
    for frame in 0..held.len() {
        let after =
            rows.iter().map(|held| held.get(frame).copied().flatten().map_or(".".to_string(), |page| page.to_string()));
        table.push([format!("frame {frame}")].into_iter().chain(after).collect());
    }
    table.push(faults);
    table.push(victims);
    Step::new(format!("{} with {frames} {}: {count} faults", kind.name(), if frames == 1 { "frame" } else { "frames" }))
        .table(table)
}
