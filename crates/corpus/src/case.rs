//! The cases: how their files are read.

use std::fs;
use std::path::Path;

/// The seconds that a case may take where its header says nothing.
const SECONDS: u64 = 60;

/// One script, and how its two runs are compared.
///
/// In its file it begins with `#% case: NAME`; further `#% KEY: VALUE` lines follow, then the script. What stands before
/// the file's first case is the beginning of each of its scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The file's stem, a slash, and the name.
    pub name: String,
    /// `#% shell: dash`: what interprets the script; bash by default.
    pub shell: String,
    /// `#% needs: sqlite3 git`: programs without which the case is skipped.
    pub needs: Vec<String>,
    /// `#% modules: test.test_os`: modules of python3's without which the case is skipped.
    pub modules: Vec<String>,
    /// `#% timeout: 60`: seconds for each of the runs.
    pub seconds: u64,
    /// `#% filter: s/[0-9]+ ms/N ms/`: an extended sed expression for both streams. Repeatable.
    pub filters: Vec<String>,
    /// `#% loose: .git/index`: files whose path holds this may differ in content (clock, inode). Repeatable.
    pub loose: Vec<String>,
    /// `#% quick`: part of the tests.
    pub quick: bool,
    /// What is run.
    pub script: String,
}

/// Every case of `cases/*.sh`, in the files' order.
///
/// # Errors
/// The file that cannot be read, or the line that is no header.
pub fn all() -> Result<Vec<Case>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sh"));
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let group = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        cases.extend(parse(&group, &text)?);
    }
    Ok(cases)
}

fn parse(group: &str, text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut prelude = String::new();
    for line in text.lines() {
        let Some(header) = line.strip_prefix("#% ") else {
            let script = cases.last_mut().map_or(&mut prelude, |case| &mut case.script);
            script.push_str(line);
            script.push('\n');
            continue;
        };
        let (key, value) = header.split_once(": ").unwrap_or((header, ""));
        if key == "case" {
            cases.push(Case::of_script(&format!("{group}/{value}"), &prelude));
        } else {
            let case = cases.last_mut().ok_or_else(|| format!("{group}: {line:?} stands before the first case"))?;
            case.set(key, value)?;
        }
    }
    Ok(cases)
}

impl Case {
    /// A case whose header says nothing more.
    pub(crate) fn of_script(name: &str, script: &str) -> Self {
        Self {
            name: name.to_string(),
            shell: "bash".to_string(),
            needs: Vec::new(),
            modules: Vec::new(),
            seconds: SECONDS,
            filters: Vec::new(),
            loose: Vec::new(),
            quick: false,
            script: script.to_string(),
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "shell" => self.shell = value.to_string(),
            "needs" => self.needs = value.split_whitespace().map(str::to_string).collect(),
            "modules" => self.modules = value.split_whitespace().map(str::to_string).collect(),
            "timeout" => self.seconds = value.parse().map_err(|_| format!("{}: {value:?} is no timeout", self.name))?,
            "filter" => self.filters.push(value.to_string()),
            "loose" => self.loose.push(value.to_string()),
            "quick" => self.quick = true,
            _ => return Err(format!("{}: {key:?} is no key", self.name)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_file_is_a_list_of_cases() {
        let text = "# What the file is for.\n#% case: one\n#% quick\n#% needs: a b\necho 1\n\n#% case: two\n\
                    #% shell: dash\n#% filter: s/x: y/z/\n#% timeout: 5\necho 2\n";
        let cases = parse("group", text).unwrap();
        assert_eq!(cases.len(), 2);
        assert_eq!((cases[0].name.as_str(), cases[0].quick, cases[0].seconds), ("group/one", true, SECONDS));
        assert_eq!(cases[0].needs, ["a", "b"]);
        assert_eq!(cases[0].script, "# What the file is for.\necho 1\n\n");
        assert_eq!((cases[1].shell.as_str(), cases[1].quick, cases[1].seconds), ("dash", false, 5));
        assert_eq!(cases[1].filters, ["s/x: y/z/"]);
    }

    #[test]
    fn what_stands_before_the_first_case_begins_each_script() {
        let cases = parse("group", "say() { echo 1; }\n#% case: one\nsay\n#% case: two\nsay; say\n").unwrap();
        assert_eq!(cases[0].script, "say() { echo 1; }\nsay\n");
        assert_eq!(cases[1].script, "say() { echo 1; }\nsay; say\n");
    }

    #[test]
    fn a_wrong_header_is_said() {
        assert!(parse("group", "#% quick\n").unwrap_err().contains("before the first case"));
        assert!(parse("group", "#% case: one\n#% fast\n").unwrap_err().contains("\"fast\" is no key"));
        assert!(parse("group", "#% case: one\n#% timeout: soon\n").unwrap_err().contains("is no timeout"));
    }

    #[test]
    fn the_cases_have_names_of_their_own() {
        let cases = all().unwrap();
        let names: HashSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        assert!(cases.iter().all(|case| !case.script.trim().is_empty()));
    }
}
