use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Records = BTreeMap<u16, Vec<u8>>;

/// Records and their tables.
fn volume_of(pages: &BTreeMap<(u64, u128), Records>) -> (Vec<u8>, Tables) {
    let (mut volume, mut tables) = (Vec::new(), Tables::default());
    for ((page, content), records) in pages {
        let mut places = Vec::new();
        for (key, bytes) in records {
            let refused = append(&mut volume, |to| {
                to.extend_from_slice(bytes);
                None
            });
            assert_eq!(refused, None);
            let at = append(&mut volume, |to| {
                to.extend_from_slice(bytes);
                Some(())
            });
            places.push((*key, at.unwrap()));
        }
        tables.add(Page::new(*page), Content(*content), places);
    }
    (volume, tables)
}

fn add(store: &mut Store, program: ProgramId, pages: &BTreeMap<(u64, u128), Records>) {
    let (volume, tables) = volume_of(pages);
    store.add(program, volume, &tables);
}

fn pages() -> impl Strategy<Value = BTreeMap<(u64, u128), Records>> {
    let records = prop::collection::btree_map(any::<u16>(), prop::collection::vec(any::<u8>(), 1..40), 1..8);
    prop::collection::btree_map((0u64..4, 0u128..3), records, 0..6)
}

proptest! {
    #[test]
    fn every_record_is_found_by_its_page_content_and_key(pages in pages()) {
        let mut store = Store::new(None, "");
        let program = store.program(b"program");
        add(&mut store, program, &pages);
        for ((page, content), records) in &pages {
            prop_assert!(store.knows(program, Page::new(*page)));
            prop_assert!(store.record(program, Page::new(*page), Content(9), 1, 0).is_none());
            for (key, bytes) in records {
                let (page, content) = (Page::new(*page), Content(*content));
                let found = store.record(program, page, content, *key, 0).unwrap();
                prop_assert_eq!(found, &bytes[..]);
                prop_assert!(store.record(program, page, content, *key, 1).is_none());
                prop_assert!(store.has(program, page, content, *key, bytes));
            }
        }
    }

    #[test]
    fn an_index_says_where_tables_are(pages in pages(), damaged in any::<prop::sample::Index>(), by in 1u8..) {
        let (volume, tables) = volume_of(&pages);
        let mut writer = FileWriter::new(tempfile::tempfile().unwrap()).unwrap();
        // Nothing at all, and then everything.
        prop_assert_eq!(writer.append(&[]).unwrap(), writer.len());
        let first = writer.append(&volume).unwrap();
        let file = MappedFile::new(&writer.finish(&tables, 7).unwrap()).unwrap();
        let read = index::read(&file, 7).unwrap();
        prop_assert_eq!(read.len(), pages.len());
        for (table, ((page, content), records)) in read.iter().zip(&pages) {
            prop_assert_eq!((table.page, table.content), (Page::new(*page), Content(*content)));
            prop_assert_eq!(table.records(&file).count(), records.len());
            for (key, bytes) in records {
                // The places are those in the volume.
                let at = first + table.find(&file, *key).unwrap();
                prop_assert_eq!(volume::translation(&file, at).unwrap(), &bytes[..]);
                prop_assert_eq!(table.find(&file, key.wrapping_add(1)).is_some(), records.contains_key(&key.wrapping_add(1)));
            }
        }
        prop_assert!(index::read(&file, 8).is_none());
        prop_assert!(index::read(&file[..damaged.index(file.len())], 7).is_none());
        // Whatever byte is another: the index is none, or a record is none, or it is one of the numbers in a record's head
        // that nothing depends on.
        let mut bytes = file.to_vec();
        let at = damaged.index(bytes.len());
        bytes[at] ^= by;
        if let Some(read) = index::read(&bytes, 7) {
            let places = read.iter().flat_map(|table| table.records(&bytes).collect::<Vec<_>>());
            let wrong = places.filter(|(_, at)| {
                volume::translation(&bytes, first + at).is_some_and(|read| Some(read) != volume::translation(&file, first + at))
            });
            prop_assert_eq!(wrong.count(), 0);
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in 0..400usize,
        records in 0..50usize,
        key in any::<u16>(),
    ) {
        let table = Table { page: Page::new(0), content: Content(0), at, records };
        let _ = table.find(&bytes, key);
        prop_assert!(table.records(&bytes).count() <= records);
        let _ = volume::translation(&bytes, at);
        let _ = index::read(&bytes, 0);
        if let Some(sources) = record::other_sources(&bytes) {
            prop_assert!(sources.count() < 256);
        }
    }
}

#[test]
fn only_the_latest_contents_of_a_page_are_saved() {
    let mut store = Store::new(None, "");
    let program = store.program(b"program");
    for content in 0..10 {
        let records = Records::from([(1, vec![content])]);
        add(&mut store, program, &BTreeMap::from([((5, u128::from(content)), records)]));
    }
    let contents: Vec<u128> = store.of(program).latest().iter().map(|latest| latest.content.0).collect();
    assert_eq!(contents, [6, 7, 8, 9]);
}

#[test]
fn of_records_with_the_same_key_the_newest_is_saved() {
    let mut store = Store::new(None, "");
    let program = store.program(b"program");
    for records in [Records::from([(1, vec![1]), (2, vec![2])]), Records::from([(2, vec![22]), (3, vec![3])])] {
        add(&mut store, program, &BTreeMap::from([((5, 9), records)]));
    }
    assert_eq!(store.record(program, Page::new(5), Content(9), 2, 1).unwrap(), [2]);
    let file = MappedFile::new(&store.of(program).write(tempfile::tempfile().unwrap(), 7).unwrap()).unwrap();
    let tables = index::read(&file, 7).unwrap();
    let records = tables.iter().flat_map(|table| table.records(&file));
    let saved: Vec<_> = records.map(|(key, at)| (key, volume::translation(&file, at).unwrap())).collect();
    assert_eq!(saved, [(1, &[1][..]), (2, &[22]), (3, &[3])]);
}
