//! The search for a case that differs, and for a smaller one.

use super::case::{Case, CaseId};
use super::world::World;
use super::{check, compare, forms, hidden_forms};
use crate::random::Random;
use iced_x86::{Code, Formatter, NasmFormatter};
use std::fmt::{self, Write};
use std::io;

/// The forms, and the two worlds that are compared.
pub struct Search<'w> {
    forms: Vec<Code>,
    host: &'w mut dyn World,
    ours: &'w mut dyn World,
}

/// What was tried.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Cases that ran in both worlds.
    pub cases: u64,
    /// Forms for which no instruction could be encoded.
    pub unencodable: Vec<Code>,
}

/// A case that differs.
#[derive(Debug)]
pub struct Failure {
    /// `one FORM SEED` or `sequence SEED`: what runs it again.
    pub rerun: String,
    /// The case.
    pub case: Box<Case>,
    /// What differs.
    pub differences: Vec<String>,
}

impl<'w> Search<'w> {
    /// Over all forms.
    pub fn new(host: &'w mut dyn World, ours: &'w mut dyn World) -> Self {
        Self { forms: forms(), host, ours }
    }

    /// Over the forms whose name holds `part`; `None` if there is none.
    #[must_use]
    pub fn only(mut self, part: &str) -> Option<Self> {
        let part = part.to_lowercase();
        self.forms.retain(|code| format!("{code:?}").to_lowercase().contains(&part));
        (!self.forms.is_empty()).then_some(self)
    }

    /// How many forms there are.
    pub fn form_count(&self) -> usize {
        self.forms.len()
    }

    /// One case of each form; the first that differs of each form is a failure.
    ///
    /// # Errors
    /// The host's; never a case's.
    pub fn singles(&mut self, seed: u64, tally: &mut Tally) -> io::Result<Vec<Failure>> {
        let mut failures = Vec::new();
        for code in self.forms.clone() {
            let seed = Random::new(seed ^ (code as u64) << 40).word();
            failures.extend(self.single(code, seed, tally)?);
        }
        Ok(failures)
    }

    /// One case of one form.
    ///
    /// # Errors
    /// The host's; never the case's.
    pub fn single(&mut self, code: Code, seed: u64, tally: &mut Tally) -> io::Result<Option<Failure>> {
        let Some(case) = Case::single(code, seed) else {
            tally.unencodable.push(code);
            return Ok(None);
        };
        let differences = self.run(&case, tally)?;
        let rerun = format!("--only {code:?} --case {seed:x}");
        Ok((!differences.is_empty()).then(|| Failure { rerun, case: Box::new(case), differences }))
    }

    /// One case of each form that the announced CPU does not have; one that is not refused, or leaves a trace, is a
    /// failure.
    ///
    /// # Errors
    /// The host's; never a case's.
    pub fn hidden(&mut self, seed: u64, tally: &mut Tally) -> io::Result<Vec<Failure>> {
        let mut failures = Vec::new();
        for code in hidden_forms() {
            let seed = Random::new(seed ^ (code as u64) << 40).word();
            let Some(case) = Case::single(code, seed) else {
                tally.unencodable.push(code);
                continue;
            };
            tally.cases += 1;
            let differences = check::traces_of_refused(&case, self.ours)?;
            if !differences.is_empty() {
                let rerun = format!("(the hidden form {code:?} with {seed:x})");
                failures.push(Failure { rerun, case: Box::new(case), differences });
            }
        }
        Ok(failures)
    }

    /// Code that changes itself.
    ///
    /// # Errors
    /// The host's; never the case's.
    pub fn self_modifying(&mut self, tally: &mut Tally) -> io::Result<Option<Failure>> {
        let case = Case::self_modifying();
        let differences = self.run(&case, tally)?;
        let rerun = "(code that changes itself is tried in every round)".to_string();
        Ok((!differences.is_empty()).then(|| Failure { rerun, case: Box::new(case), differences }))
    }

    /// One sequence; a failure is the smallest that was found.
    ///
    /// # Errors
    /// The host's; never the case's.
    pub fn sequence(&mut self, id: CaseId, tally: &mut Tally) -> io::Result<Option<Failure>> {
        let case = Case::sequence(&self.forms, id);
        let differences = self.run(&case, tally)?;
        if differences.is_empty() {
            return Ok(None);
        }
        self.smallest(Failure { rerun: format!("--sequence {id}"), case: Box::new(case), differences }).map(Some)
    }

    /// Leaves out one instruction after another, as long as the case still differs.
    fn smallest(&mut self, mut failure: Failure) -> io::Result<Failure> {
        let whole = Case::sequence(&self.forms, CaseId::whole(failure.case.id.seed));
        for number in 0..whole.instruction_count().min(64) {
            let id = CaseId { kept: failure.case.id.kept & !(1 << number), ..failure.case.id };
            let case = Case::sequence(&self.forms, id);
            let differences = self.run(&case, &mut Tally::default())?;
            if !differences.is_empty() {
                failure = Failure { rerun: format!("--sequence {id}"), case: Box::new(case), differences };
            }
        }
        Ok(failure)
    }

    fn run(&mut self, case: &Case, tally: &mut Tally) -> io::Result<Vec<String>> {
        if !compare::is_comparable(case) {
            return Ok(Vec::new());
        }
        tally.cases += 1;
        check::differences(case, self.host, self.ours)
    }
}

/// The code, the registers it starts from, what differs and how to run it again.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut formatter = NasmFormatter::new();
        for placed in &self.case.code {
            let mut text = String::new();
            formatter.format(&placed.instruction, &mut text);
            let bytes = placed.bytes.iter().fold(String::new(), |mut line, byte| {
                write!(line, "{byte:02x} ").expect("a string takes everything");
                line
            });
            writeln!(f, "  {:#x}: {bytes:<36}{text}", placed.instruction.ip())?;
        }
        let start = &self.case.registers;
        let gprs: Vec<String> = start.gpr.iter().map(|value| format!("{value:x}")).collect();
        writeln!(f, "  from gpr {}", gprs.join(" "))?;
        writeln!(
            f,
            "  rflags {:x} mxcsr {:x} fs {:x} gs {:x} x87 control {:02x?}",
            start.rflags,
            start.mxcsr,
            start.fs_base,
            start.gs_base,
            &start.x87[..5]
        )?;
        for difference in &self.differences {
            writeln!(f, "  differs: {difference}")?;
        }
        write!(f, "  again: cargo xtask fuzz {}", self.rerun)
    }
}
