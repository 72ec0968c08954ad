//! `--refs`: replacement policies on a reference string.

use crate::Complaint;
use crate::story::{Step, Story, Table, numbered};
use addr::Access;
use model::policies::Future;
use model::{Outcome, PolicyKind, Reference, Settings, working_sets};
use serde::Serialize;
use std::collections::HashSet;

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
    /// Which frame tables to draw.
    pub tables: Tables,
}

/// Which frame tables to draw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tables {
    /// Those of strings of at most [`MOST_DRAWN`] references.
    OfShortStrings,
    /// All.
    All,
}

/// Longer strings get counts only, unless tables are asked for.
pub const MOST_DRAWN: usize = 64;
/// Even then; this many references by 1000 frames are a long read.
const MOST_CELLS: usize = 10_000_000;
/// References in a row of tables.
const COLUMNS: usize = 32;
/// More sizes would take a day.
const MOST_SIZES: usize = 100_000;

/// `1 2 3`, separated by blanks or commas; `w:3` is a store. Numbers are decimal, or hexadecimal after `0x`.
///
/// # Errors
/// The word that is no page number.
pub fn parse(text: &str) -> Result<Vec<Reference>, Complaint> {
    let words =
        text.split(|character: char| character.is_whitespace() || character == ',').filter(|word| !word.is_empty());
    let references = words.map(|word| {
        let (access, digits) = word.strip_prefix("w:").map_or((Access::Read, word), |digits| (Access::Write, digits));
        let page = match digits.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => digits.parse().ok(),
        };
        let page = page.filter(|&page| page < 1 << 63);
        page.map(|page| Reference::new(page, access)).ok_or_else(|| {
            Complaint::new(format!(
                "expected page numbers such as 3, 0x1f or w:3 (a store), below 2^63, not \"{word}\""
            ))
        })
    });
    references.collect()
}

/// `3`, `1..7` (both ends included) or `1,2,8`.
///
/// # Errors
/// What was expected.
pub fn parse_frames(text: &str) -> Result<Vec<usize>, Complaint> {
    let number = |digits: &str| {
        let frames = digits.trim().parse::<usize>().ok().filter(|frames| (1..=1 << 28).contains(frames));
        frames.ok_or_else(|| {
            Complaint::new(format!("--frames: expected 3, 1..7 or 1,2,4, numbers from 1 to 2^28, not \"{text}\""))
        })
    };
    let mut all = Vec::new();
    for part in text.split(',') {
        match part.split_once("..") {
            Some((first, last)) => {
                all.extend((number(first)?..=number(last.trim_start_matches('='))?).take(MOST_SIZES + 1))
            }
            None => all.push(number(part)?),
        }
    }
    match all.len() {
        0 => Err(Complaint::new(format!("--frames {text} is an empty range"))),
        1..=MOST_SIZES => Ok(all),
        _ => Err(Complaint::new(format!("--frames {text}: expected at most {MOST_SIZES} sizes"))),
    }
}

/// `fifo,lru`, or `all`.
///
/// # Errors
/// The name that no policy has.
pub fn parse_policies(text: &str) -> Result<Vec<PolicyKind>, Complaint> {
    if text == "all" {
        return Ok(PolicyKind::ALL.to_vec());
    }
    let named = |name: &str| {
        PolicyKind::named(name.trim())
            .ok_or_else(|| Complaint::new(format!("there is no policy {name}; `pagewalk policies` lists them")))
    };
    text.split(',').map(named).collect()
}

/// Faults for each policy and size, policies in order.
pub fn counts(question: &Question) -> Vec<Count> {
    let future = Future::of(&question.references);
    let distinct = distinct_pages(&question.references);
    let mut counts = Vec::new();
    for &kind in &question.policies {
        for &frames in &question.frames {
            // More frames than pages are all the same to every policy.
            let mut policy = kind.replayed(frames.min(distinct), &question.settings_for(frames), &future);
            counts.push(Count { policy: kind.name(), frames, faults: policy.replay(&question.references) });
        }
    }
    counts
}

fn distinct_pages(references: &[Reference]) -> usize {
    references.iter().map(|reference| reference.page()).collect::<HashSet<_>>().len()
}

impl Question {
    /// Periods and windows that follow from the size of memory, which may be larger than what is simulated.
    fn settings_for(&self, frames: usize) -> Settings {
        let or_frames = |number: Option<u64>| number.or(Some(frames as u64));
        Settings { period: or_frames(self.settings.period), window: or_frames(self.settings.window), ..self.settings }
    }
}

/// `policy,frames,faults`.
pub fn csv(counts: &[Count]) -> String {
    let rows = counts.iter().map(|count| format!("{},{},{}\n", count.policy, count.frames, count.faults));
    "policy,frames,faults\n".to_string() + &rows.collect::<String>()
}

/// Counts, anomalies, working sets, then every frame table that is wanted.
///
/// # Errors
/// The tables would be too large.
pub fn story(question: &Question, counts: &[Count]) -> Result<Story, Complaint> {
    let length = question.references.len();
    let distinct = distinct_pages(&question.references);
    let mut steps = vec![count_step(question, counts)];
    steps.extend(question.window.map(|window| window_step(question, window)));
    if question.tables == Tables::All || length <= MOST_DRAWN {
        let rows: usize = question.frames.iter().map(|&frames| 3 + frames.min(distinct)).sum();
        if rows.saturating_mul(question.policies.len()).saturating_mul(length) > MOST_CELLS {
            return Err(Complaint::new(format!(
                "the frame tables would have more than {MOST_CELLS} cells; ask for fewer frames or policies"
            )));
        }
        let future = Future::of(&question.references);
        for &kind in &question.policies {
            for &frames in &question.frames {
                steps.push(frame_table(question, kind, frames, &future));
            }
        }
    } else if let Some(last) = steps.last_mut() {
        *last = last
            .clone()
            .line(format!("Strings of more than {MOST_DRAWN} references: --tables draws every frame table."));
    }
    let title = format!("{length} references to {distinct} pages");
    Ok(Story { title, source: String::new(), steps: numbered(steps) })
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

/// What memory held after a reference, and how it came to that.
struct Moment {
    reference: Reference,
    outcome: Outcome,
    held: Vec<Option<u64>>,
}

/// A column a reference: what every frame holds after it, whether it faulted, who left.
fn frame_table(question: &Question, kind: PolicyKind, frames: usize, future: &Future) -> Step {
    let distinct = distinct_pages(&question.references);
    let mut policy = kind.replayed(frames.min(distinct), &question.settings_for(frames), future);
    let mut held: Vec<Option<u64>> = Vec::new();
    let mut moments = Vec::new();
    for &reference in &question.references {
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
        moments.push(Moment { reference, outcome, held: held.clone() });
    }
    let faults = moments.iter().filter(|moment| moment.outcome != Outcome::Hit).count();
    let title =
        format!("{} with {frames} {}: {faults} faults", kind.name(), if frames == 1 { "frame" } else { "frames" });
    let is_wrapped = moments.len() > COLUMNS;
    let tables = moments.chunks(COLUMNS).enumerate().map(|(number, some)| {
        let (first, last) = (number * COLUMNS + 1, number * COLUMNS + some.len());
        let caption = if is_wrapped { format!("references {first} to {last}") } else { String::new() };
        columns(caption, some, held.len())
    });
    tables.fold(Step::new(title), Step::table)
}

fn columns(caption: String, moments: &[Moment], frames: usize) -> Table {
    let row =
        |name: String, cell: &dyn Fn(&Moment) -> String| [name].into_iter().chain(moments.iter().map(cell)).collect();
    let page = |moment: &Moment| {
        let prefix = if moment.reference.access() == Access::Write { "w:" } else { "" };
        format!("{prefix}{}", moment.reference.page())
    };
    let mut table = Table { caption, head: row("page".into(), &page), ..Table::default() };
    for frame in 0..frames {
        let holds = |moment: &Moment| {
            moment.held.get(frame).copied().flatten().map_or(".".into(), |page: u64| page.to_string())
        };
        table.push(row(format!("frame {frame}"), &holds));
    }
    table.push(row("fault".into(), &|moment| if moment.outcome == Outcome::Hit { "" } else { "F" }.into()));
    let victim = |moment: &Moment| {
        if let Outcome::Replaced(victim) = moment.outcome { victim.to_string() } else { String::new() }
    };
    table.push(row("victim".into(), &victim));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_string_is_drawn_in_pieces_when_asked() {
        let references = parse(&"1 2 3 4 ".repeat(25)).expect("page numbers");
        let policies = vec![PolicyKind::Fifo];
        let settings = Settings::default();
        let mut question =
            Question { references, frames: vec![3], policies, settings, window: None, tables: Tables::OfShortStrings };
        let counts = counts(&question);
        assert_eq!(story(&question, &counts).expect("it is short").steps.len(), 1);
        question.tables = Tables::All;
        let drawn = story(&question, &counts).expect("it is short");
        let tables = drawn.steps[1].blocks.iter().filter_map(|block| match block {
            crate::Block::Table(table) => Some((table.caption.as_str(), table.head.len())),
            _ => None,
        });
        let pieces: Vec<_> = tables.collect();
        assert_eq!(pieces[0], ("references 1 to 32", 33));
        assert_eq!(pieces[3], ("references 97 to 100", 5));
    }

    #[test]
    fn more_frames_than_pages_cost_nothing() {
        let references = parse("1 2 3 1 2 3").expect("page numbers");
        let (frames, policies) = (vec![1 << 28], PolicyKind::ALL.to_vec());
        let settings = Settings::default();
        let question = Question { references, frames, policies, settings, window: None, tables: Tables::All };
        assert!(counts(&question).iter().all(|count| count.faults == 3));
    }
}
