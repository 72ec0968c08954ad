//! Random lives of a few spaces against a model that only knows bytes; every invariant is checked after each step.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const WINDOW: u64 = 0x1000_0000_0000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Map { page: u64, pages: u64, kind: u64 },
    Unmap { page: u64, pages: u64 },
    Forget { page: u64, pages: u64 },
    Move { page: u64, pages: u64, to: u64 },
    Store { page: u64, byte: u8 },
    Load { page: u64 },
    Evict { page: u64 },
    Huge { page: u64 },
    Trait { page: u64, pages: u64, advice: i32 },
    Fork,
    Release,
}

fn any_step() -> impl Strategy<Value = (usize, Step)> {
    let (page, pages) = (0..1100_u64, 1..40_u64);
    let near = prop_oneof![0..12_u64, 500..524_u64, 0..1100_u64];
    let step = prop_oneof![
        4 => (near.clone(), pages.clone(), prop::sample::select(vec![PRIVATE, PRIVATE, SHARED]))
            .prop_map(|(page, pages, kind)| Step::Map { page, pages, kind }),
        1 => Just(Step::Map { page: 0, pages: 1100, kind: PRIVATE }),
        2 => (near.clone(), pages.clone()).prop_map(|(page, pages)| Step::Unmap { page, pages }),
        1 => (near.clone(), pages.clone()).prop_map(|(page, pages)| Step::Forget { page, pages }),
        2 => (near.clone(), pages, page.clone()).prop_map(|(page, pages, to)| Step::Move { page, pages, to }),
        12 => (near.clone(), 1..=255_u8).prop_map(|(page, byte)| Step::Store { page, byte }),
        6 => near.clone().prop_map(|page| Step::Load { page }),
        6 => near.prop_map(|page| Step::Evict { page }),
        1 => page.clone().prop_map(|page| Step::Huge { page }),
        2 => (page, 1..300_u64, prop::sample::select(vec![libc::MADV_DONTDUMP, libc::MADV_DODUMP, libc::MADV_NORMAL]))
            .prop_map(|(page, pages, advice)| Step::Trait { page, pages, advice }),
        1 => Just(Step::Fork),
        1 => Just(Step::Release),
    ];
    (0..4_usize, step)
}

/// What a page of a space shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shows {
    Own(u8),
    Shared { object: u64, index: u64 },
}

#[derive(Default)]
struct Model {
    spaces: Vec<(SpaceId, BTreeMap<u64, Shows>)>,
    shared: BTreeMap<(u64, u64), u8>,
    objects: u64,
}

impl Model {
    fn byte(&self, which: usize, page: u64) -> Option<u8> {
        self.spaces[which].1.get(&page).map(|shows| match shows {
            Shows::Own(byte) => *byte,
            Shows::Shared { object, index } => self.shared.get(&(*object, *index)).copied().unwrap_or(0),
        })
    }

    fn store(&mut self, which: usize, page: u64, byte: u8) {
        match self.spaces[which].1.get_mut(&page).expect("the store succeeded") {
            Shows::Own(own) => *own = byte,
            Shows::Shared { object, index } => _ = self.shared.insert((*object, *index), byte),
        }
    }
}

fn at(page: u64) -> u64 {
    WINDOW + page * K
}

fn apply(world: &mut World, model: &mut Model, which: usize, step: Step) {
    world.id = model.spaces[which].0;
    match step {
        Step::Map { page, pages, kind } => {
            if world.map(at(page), pages * K, RW, kind | FIXED).is_ok() {
                model.objects += 1;
                for index in 0..pages {
                    let shared = Shows::Shared { object: model.objects, index };
                    let shows = if kind == SHARED { shared } else { Shows::Own(0) };
                    model.spaces[which].1.insert(page + index, shows);
                }
            }
        }
        Step::Unmap { page, pages } => {
            if world.mm.munmap(world.id, at(page), pages * K).is_ok() {
                model.spaces[which].1.retain(|at, _| !(page..page + pages).contains(at));
            }
        }
        Step::Forget { page, pages } => forget(world, model, which, page, pages),
        Step::Move { page, pages, to } => relocate(world, model, which, page, pages, to),
        Step::Store { .. } | Step::Load { .. } => touch(world, model, which, step),
        Step::Evict { page } => world.mm.evict(world.id, VirtAddr::new(at(page)).page()),
        Step::Huge { page } => {
            let advice = libc::MADV_HUGEPAGE as u64;
            // A hole is told of; the advice is taken.
            let _ = world.mm.madvise(world.id, at(page / 512 * 512), 600 * K, advice);
        }
        Step::Trait { page, pages, advice } => {
            // Holes are told of; bytes stay.
            let _ = world.mm.madvise(world.id, at(page), pages * K, advice as u64);
        }
        Step::Fork if model.spaces.len() < 4 => {
            if let Ok(child) = world.mm.fork_space(world.id) {
                let pages = model.spaces[which].1.clone();
                model.spaces.push((child, pages));
            }
        }
        Step::Release if model.spaces.len() > 1 => {
            world.mm.release_space(world.id);
            model.spaces.remove(which);
        }
        Step::Fork | Step::Release => {}
    }
}

fn forget(world: &mut World, model: &mut Model, which: usize, page: u64, pages: u64) {
    let advice = libc::MADV_DONTNEED as u64;
    // A hole is told of, but the rest is done; without frames to split a large page nothing may be.
    if world.mm.madvise(world.id, at(page), pages * K, advice) == Ok(()) {
        for (_, shows) in model.spaces[which].1.range_mut(page..page + pages) {
            if let Shows::Own(byte) = shows {
                *byte = 0;
            }
        }
    } else {
        resync(world, model, which);
    }
}

fn relocate(world: &mut World, model: &mut Model, which: usize, page: u64, pages: u64, to: u64) {
    let (addr, new_addr, bytes) = (at(page), at(to), pages * K);
    let request = MremapRequest { addr, old_bytes: bytes, new_bytes: bytes, flags: 3, new_addr };
    let before: Vec<_> = (page..page + pages).map(|at| model.spaces[which].1.get(&at).copied()).collect();
    let is_whole = before.iter().all(Option::is_some);
    match world.mm.mremap(world.id, &request) {
        Ok(_) if is_whole => {
            let pages_of = &mut model.spaces[which].1;
            pages_of.retain(|at, _| !(page..page + pages).contains(at));
            for (index, shows) in (0..).zip(before.into_iter().flatten()) {
                pages_of.insert(to + index, shows);
            }
        }
        _ => resync(world, model, which),
    }
}

fn touch(world: &mut World, model: &mut Model, which: usize, step: Step) {
    match step {
        Step::Store { page, byte } => match world.store(at(page), byte) {
            Ok(()) => model.store(which, page, byte),
            Err(FaultError::OutOfMemory) => {}
            Err(error) => assert_eq!((error, model.byte(which, page)), (FaultError::MapErr, None)),
        },
        Step::Load { page } => match world.load(at(page)) {
            Ok(byte) => assert_eq!(Some(byte), model.byte(which, page), "page {page} of {which}"),
            Err(FaultError::OutOfMemory) => {}
            Err(error) => assert_eq!((error, model.byte(which, page)), (FaultError::MapErr, None)),
        },
        _ => unreachable!("the others touch nothing"),
    }
}

/// After a call that may have been done in part, the model learns what is there.
fn resync(world: &mut World, model: &mut Model, which: usize) {
    let mut pages = BTreeMap::new();
    for page in 0..1200 {
        let mut byte = [0];
        let addr = VirtAddr::new(at(page));
        let Some(_) = world.mm.area_at(world.id, addr) else { continue };
        if world.mm.shared_place(world.id, addr.page()).is_some() {
            // Shared pages are not followed over a move that was done in part.
            let _ = world.mm.munmap(world.id, at(page), K);
            continue;
        }
        if world.mm.read(world.id, addr, &mut byte) == 1 {
            pages.insert(page, Shows::Own(byte[0]));
        } else {
            let _ = world.mm.munmap(world.id, at(page), K);
        }
    }
    model.spaces[which].1 = pages;
}

fn live(frames: u32, steps: &[(usize, Step)]) {
    let mut world = World::with_frames(frames);
    let mut model = Model { spaces: vec![(world.id, BTreeMap::new())], ..Model::default() };
    for (which, step) in steps {
        let which = which % model.spaces.len();
        apply(&mut world, &mut model, which, *step);
        world.mm.check();
    }
    for (which, (id, pages)) in model.spaces.iter().enumerate() {
        world.id = *id;
        for page in pages.keys() {
            if let Ok(byte) = world.load(at(*page)) {
                assert_eq!(Some(byte), model.byte(which, *page), "page {page} of {which}");
            }
        }
    }
    for (id, _) in &model.spaces {
        world.mm.release_space(*id);
    }
    world.mm.check_empty();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spaces_remember_what_was_stored(steps in prop::collection::vec(any_step(), 1..80)) {
        live(8192, &steps);
    }

    #[test]
    fn spaces_survive_a_small_ram(frames in 40..700_u32, steps in prop::collection::vec(any_step(), 1..80)) {
        live(frames, &steps);
    }
}
