//! `--step`: one step at a time, on and back.

use crate::failure::Failure;
use explain::{Ink, Story, text};
use std::io::{BufRead, Write};

/// Shows the steps one by one: Enter or `n` goes on, `b` goes back, `q` ends.
pub fn run(story: &Story, ink: Ink, keys: &mut impl BufRead, screen: &mut impl Write) -> Result<(), Failure> {
    let lost = |error| Failure::cannot_run(format!("cannot write the steps: {error}"));
    write!(screen, "{}", text::heading(story, ink)).map_err(lost)?;
    let mut at = 0;
    while at < story.steps.len() {
        write!(screen, "\n{}", text::step(story, at, ink)).map_err(lost)?;
        write!(screen, "[{} of {}] Enter: on, b: back, q: quit ", at + 1, story.steps.len()).map_err(lost)?;
        screen.flush().map_err(lost)?;
        let mut line = String::new();
        let read =
            keys.read_line(&mut line).map_err(|error| Failure::cannot_run(format!("cannot read a key: {error}")))?;
        match line.trim() {
            _ if read == 0 => break,
            "q" => break,
            "b" => at = at.saturating_sub(1),
            _ => at += 1,
        }
    }
    writeln!(screen).map_err(lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use explain::Step;

    #[test]
    fn keys_go_on_and_back() {
        let story = Story { title: "t".into(), source: String::new(), steps: ["one", "two"].map(Step::new).to_vec() };
        let mut screen = Vec::new();
        run(&story, Ink::Plain, &mut "\nb\n\nq\n".as_bytes(), &mut screen).expect("it is only text");
        let shown = String::from_utf8(screen).expect("it is text");
        let order: Vec<&str> = shown.lines().filter(|line| line.contains(". ")).collect();
        assert_eq!(order, ["1. one", "2. two", "1. one", "2. two"]);
    }
}
