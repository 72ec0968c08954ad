//! The fuzzer's generator and its host side, checked against themselves: the same case gives the same outcome twice.

use pagewalk_lockstep::fuzz::{CaseId, Native, Search, Tally};

#[test]
fn the_host_agrees_with_itself_on_every_form() {
    let (mut left, mut right) = (Native::new().unwrap(), Native::new().unwrap());
    let mut search = Search::new(&mut left, &mut right);
    let mut tally = Tally::default();
    let failures = search.singles(1, &mut tally).unwrap();
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", texts.join("\n"));
    assert_eq!(tally.unencodable, []);
    assert_eq!(tally.cases, search.form_count() as u64);
}

#[test]
fn the_host_agrees_with_itself_on_sequences() {
    let (mut left, mut right) = (Native::new().unwrap(), Native::new().unwrap());
    let mut search = Search::new(&mut left, &mut right);
    for seed in 0..500 {
        let failure = search.sequence(CaseId::whole(seed), &mut Tally::default()).unwrap();
        assert!(failure.is_none(), "{}", failure.unwrap());
    }
}

#[test]
fn forms_are_chosen_by_a_part_of_their_name() {
    let (mut left, mut right) = (Native::new().unwrap(), Native::new().unwrap());
    let all = Search::new(&mut left, &mut right).form_count();
    let some = Search::new(&mut left, &mut right).only("movsb").expect("there are forms of movsb").form_count();
    assert!((1..all).contains(&some), "{some} of {all}");
    assert!(Search::new(&mut left, &mut right).only("no such form").is_none());
}
