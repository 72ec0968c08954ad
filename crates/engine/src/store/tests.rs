use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Records = BTreeMap<u16, Vec<u8>>;

fn volume_of(pages: &BTreeMap<(u64, u128), Records>) -> Vec<u8> {
    let mut volume = VolumeWriter::default();
    for ((page, content), records) in pages {
        volume.begin_section(Page::new(*page), Content(*content));
        for (key, bytes) in records {
            volume.record(key.wrapping_sub(1), |to| {
                to.extend_from_slice(bytes);
                None
            });
            volume.record(*key, |to| {
                to.extend_from_slice(bytes);
                Some(())
            });
        }
        volume.end_section();
    }
    volume.finish()
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
        store.add(program, volume_of(&pages));
        for ((page, content), records) in &pages {
            prop_assert!(store.knows(program, Page::new(*page)));
            prop_assert!(store.record(program, Page::new(*page), Content(9), 1, 0).is_none());
            for (key, bytes) in records {
                let (page, content) = (Page::new(*page), Content(*content));
                let found = store.record(program, page, content, *key, 0).unwrap();
                prop_assert_eq!(&found[..bytes.len()], &bytes[..]);
                prop_assert!(store.record(program, page, content, *key, 1).is_none());
                prop_assert!(store.has(program, page, content, *key, bytes));
            }
        }
    }

    #[test]
    fn an_index_says_where_sections_are(
        pages in pages(),
        split in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let volume = volume_of(&pages);
        let sections: Vec<&[u8]> =
            volume::sections(&volume).map(|section| volume::section(&volume, section.at).unwrap()).collect();
        prop_assert_eq!(sections.len(), pages.len());
        let (whole, second) = sections.split_at(split.index(sections.len() + 1));
        let mut writer = FileWriter::new(tempfile::tempfile().unwrap()).unwrap();
        let first = whole.concat();
        writer.append(&first, &of_volume(&first)).unwrap();
        prop_assert_eq!(writer.is_empty(), whole.is_empty());
        second.iter().for_each(|section| writer.append(section, &of_volume(section)).unwrap());
        let file = MappedFile::new(&writer.finish(7).unwrap()).unwrap();
        let read = index::read(&file, 7).unwrap();
        prop_assert_eq!(read.len(), sections.len());
        for (Indexed { section, checksum }, bytes) in read.iter().zip(&sections) {
            prop_assert_eq!(volume::section(&file, section.at).unwrap(), *bytes);
            prop_assert_eq!(XxHash3_64::oneshot(bytes), *checksum);
        }
        prop_assert!(index::read(&file, 8).is_none());
        let cut = cut.index(file.len());
        prop_assert!(sections.is_empty() && cut >= 48 || index::read(&file[..cut], 7).is_none());
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), key in any::<u16>()) {
        prop_assert!(volume::sections(&bytes).count() <= bytes.len());
        let _ = volume::record(&bytes, key);
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
        store.add(program, volume_of(&BTreeMap::from([((5, u128::from(content)), records)])));
    }
    let saved = store.of(program).latest_sections();
    let contents: Vec<u128> = saved.iter().map(|section| volume::head(section, 0).unwrap().content.0).collect();
    assert_eq!(contents, [6, 7, 8, 9]);
}

#[test]
fn of_records_with_the_same_key_the_newest_is_saved() {
    let mut store = Store::new(None, "");
    let program = store.program(b"program");
    for records in [Records::from([(1, vec![1]), (2, vec![2])]), Records::from([(2, vec![22]), (3, vec![3])])] {
        store.add(program, volume_of(&BTreeMap::from([((5, 9), records)])));
    }
    assert_eq!(store.record(program, Page::new(5), Content(9), 2, 1).unwrap()[0], 2);
    let saved = store.of(program).latest_sections();
    let records: Vec<(u16, u8)> = volume::records(&saved[0]).map(|(key, record)| (key, record[0])).collect();
    assert_eq!((saved.len(), records), (1, vec![(1, 1), (2, 22), (3, 3)]));
}
