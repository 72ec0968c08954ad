use super::*;

const MAY_MOVE: u64 = libc::MREMAP_MAYMOVE as u64;
const MOVE_TO: u64 = MAY_MOVE | libc::MREMAP_FIXED as u64;
const DONT_UNMAP: u64 = MAY_MOVE | libc::MREMAP_DONTUNMAP as u64;

impl World {
    fn remap(&mut self, addr: u64, old_bytes: u64, new_bytes: u64, flags: u64, new_addr: u64) -> Result<u64, Errno> {
        let request = MremapRequest { addr, old_bytes, new_bytes, flags, new_addr };
        self.mm.mremap(self.id, &request).map(VirtAddr::get)
    }
}

#[test]
fn maps_go_top_down_and_merge() {
    let mut world = World::new();
    assert_eq!(world.anonymous(4 * K), 0x7fff_f7ff_b000);
    assert_eq!(world.anonymous(4 * K), 0x7fff_f7ff_7000);
    assert_eq!(world.mm.area_count(world.id), 1);
    assert_eq!(world.anonymous(8 << 20), 0x7fff_f760_0000, "large maps are aligned");
    assert_eq!(world.map(0x1_0000_0123, K, RW, PRIVATE), Ok(0x1_0000_0000), "a hint is rounded down");
    assert_eq!(world.map(0x1000, K, RW, PRIVATE), Ok(0x1_0000), "a hint is rounded up to the lowest");
    assert_ne!(world.map(0x1_0000_0000, K, RW, PRIVATE), Ok(0x1_0000_0000), "and ignored where it is taken");
    assert_eq!(world.map(0, K, RW, PRIVATE | libc::MAP_32BIT as u64), Ok(0x4000_0000));
    world.end();
}

#[test]
fn anonymous_maps_are_refused_as_linux_refuses_them() {
    let mut world = World::new();
    let no_replace = PRIVATE | libc::MAP_FIXED_NOREPLACE as u64;
    assert_eq!(world.map(0, 0, RW, PRIVATE), Err(Errno::EINVAL));
    assert_eq!(world.map(0, u64::MAX, RW, PRIVATE), Err(Errno::ENOMEM));
    assert_eq!(world.map(0, 1 << 47, RW, PRIVATE), Err(Errno::ENOMEM));
    assert_eq!(world.map(0, K, RW, 0x20), Err(Errno::EINVAL));
    assert_eq!(world.map(0, K, RW, 0x23), Err(Errno::EINVAL));
    assert_eq!(world.map(0x1_0000_0001, K, RW, PRIVATE | FIXED), Err(Errno::EINVAL));
    assert_eq!(world.map(0x7fff_ffff_f001, K, RW, PRIVATE | FIXED), Err(Errno::ENOMEM), "the range comes first");
    assert_eq!(world.map(0, K, RW, PRIVATE | FIXED), Err(Errno::EPERM));
    assert_eq!(world.map(0, K, RW, SHARED | libc::MAP_GROWSDOWN as u64), Err(Errno::EINVAL));
    assert_eq!(world.map(0, 1 << 46, RW, PRIVATE), Err(Errno::ENOMEM), "more than RAM and swap");
    let sparse = world.map(0, 1 << 45, RW, PRIVATE | libc::MAP_NORESERVE as u64);
    assert!(sparse.is_ok());
    let start = world.anonymous(2 * K);
    assert_eq!(world.map(start, K, RW, no_replace), Err(Errno::EEXIST));
    assert_eq!(world.map(start, K, R, PRIVATE | FIXED), Ok(start));
    world.end();
}

#[test]
fn protection_changes_up_to_a_hole() {
    let mut world = World::new();
    let start = world.anonymous(6 * K);
    world.mm.munmap(world.id, start + 2 * K, K).expect("it is aligned");
    let mut protect = |at, bytes, prot| world.mm.mprotect(world.id, at, bytes, prot);
    assert_eq!(protect(start + 1, K, R), Err(Errno::EINVAL));
    assert_eq!(protect(start, 0, R), Ok(()));
    assert_eq!(protect(start, K, 0x100), Err(Errno::EINVAL));
    assert_eq!(protect(start, K, R | libc::PROT_GROWSDOWN as u64), Err(Errno::EINVAL));
    assert_eq!(protect(start, u64::MAX - K, R), Err(Errno::ENOMEM));
    assert_eq!(protect(start + K, 3 * K, R), Err(Errno::ENOMEM));
    assert_eq!(world.store(start + K, 1), Err(FaultError::AccErr), "before the hole it changed");
    assert_eq!(world.store(start + 3 * K, 1), Ok(()));
    assert_eq!(world.shape(start), [(0, 1, "rw-".into()), (1, 1, "r--".into()), (3, 3, "rw-".into())]);
    world.end();
}

#[test]
fn unmapping_is_lenient_about_holes_only() {
    let mut world = World::new();
    let start = world.anonymous(4 * K);
    assert_eq!(world.mm.munmap(world.id, start + 1, K), Err(Errno::EINVAL));
    assert_eq!(world.mm.munmap(world.id, start, 0), Err(Errno::EINVAL));
    assert_eq!(world.mm.munmap(world.id, 0x7fff_ffff_f000, K), Err(Errno::EINVAL));
    assert_eq!(world.mm.munmap(world.id, start + K, K), Ok(()));
    assert_eq!(world.mm.munmap(world.id, start + K, K), Ok(()));
    assert_eq!(world.shape(start), [(0, 1, "rw-".into()), (2, 2, "rw-".into())]);
    assert_eq!(world.load(start + K), Err(FaultError::MapErr));
    world.end();
}

#[test]
fn the_number_of_areas_is_limited() {
    let mut world = World::new();
    world.mm.set_limits(world.id, Limits { areas: 10, ..Limits::default() });
    let start = world.anonymous(100 * K);
    let split = (1..50).step_by(2).find_map(|page| world.mm.mprotect(world.id, start + page * K, K, R).err());
    assert_eq!((split, world.mm.area_count(world.id)), (Some(Errno::ENOMEM), 9));
    assert_eq!(world.mm.munmap(world.id, start + 50 * K, K), Ok(()), "one more");
    assert_eq!(world.mm.munmap(world.id, start + 60 * K, K), Err(Errno::ENOMEM));
    assert!(world.map(0, K, RX, PRIVATE).is_ok(), "exactly at the limit");
    assert_eq!(world.map(0, K, R, PRIVATE), Err(Errno::ENOMEM));
    world.end();
}

#[test]
fn limits_refuse_growth() {
    let mut world = World::new();
    world.mm.set_limits(world.id, Limits { address_space: 10 * K, ..Limits::default() });
    assert_eq!(world.map(0, 11 * K, 0, PRIVATE | libc::MAP_NORESERVE as u64), Err(Errno::ENOMEM));
    world.mm.set_limits(world.id, Limits { data: 3 * K, ..Limits::default() });
    assert_eq!(world.map(0, 4 * K, RW, PRIVATE), Err(Errno::ENOMEM));
    let start = world.map(0, 4 * K, R, PRIVATE).expect("it is no data");
    assert!(world.map(0, 4 * K, RW, SHARED).is_ok());
    assert_eq!(world.mm.mprotect(world.id, start, 4 * K, RW), Err(Errno::ENOMEM));
    world.end();
}

#[test]
fn moving_keeps_bytes_and_growing_moves() {
    let mut world = World::new();
    let start = world.anonymous(4 * K);
    world.store(start + K, 9).expect("it is mapped");
    world.anonymous(K);
    let blocked = world.map(start + 4 * K, K, RW, PRIVATE | FIXED).expect("it is free");
    assert_eq!(world.remap(start, 4 * K, 8 * K, 0, 0), Err(Errno::ENOMEM));
    world.mm.munmap(world.id, blocked, K).expect("it is aligned");
    let moved = world.remap(start, 4 * K, 8 * K, MAY_MOVE, 0).expect("there is room");
    assert_eq!(world.load(moved + K), Ok(9));
    assert_eq!(world.remap(moved, 8 * K, 2 * K, 0, 0), Ok(moved));
    assert_eq!(world.load(moved + 2 * K), Err(FaultError::MapErr));
    let target = moved - 64 * K;
    assert_eq!(world.remap(moved, 2 * K, 2 * K, MOVE_TO, target), Ok(target));
    assert_eq!((world.load(target + K), world.load(moved)), (Ok(9), Err(FaultError::MapErr)));
    assert_eq!(world.remap(target, 2 * K, 2 * K, DONT_UNMAP, moved), Ok(moved));
    assert_eq!((world.load(moved + K), world.load(target + K)), (Ok(9), Ok(0)));
    world.end();
}

#[test]
fn remaps_are_refused_as_linux_refuses_them() {
    let mut world = World::new();
    let start = world.anonymous(4 * K);
    world.mm.mprotect(world.id, start + 2 * K, 2 * K, R).expect("it is mapped");
    for (addr, old, new, flags, to, errno) in [
        (start + 1, K, K, MAY_MOVE, 0, Errno::EINVAL),
        (start, K, 0, MAY_MOVE, 0, Errno::EINVAL),
        (start, K, K, 0x10, 0, Errno::EINVAL),
        (start, K, K, libc::MREMAP_FIXED as u64, start - 64 * K, Errno::EINVAL),
        (start, 2 * K, 2 * K, MOVE_TO, start + K, Errno::EINVAL),
        (start, K, K, MOVE_TO, start - 64 * K + 1, Errno::EINVAL),
        (start, K, 2 * K, DONT_UNMAP, 0, Errno::EINVAL),
        (start, 0, K, MAY_MOVE, 0, Errno::EINVAL),
        (start, K, 1 << 48, MAY_MOVE, 0, Errno::EINVAL),
        (start - 64 * K, K, 2 * K, MAY_MOVE, 0, Errno::EFAULT),
        (start, 4 * K, 8 * K, MAY_MOVE, 0, Errno::EFAULT),
    ] {
        assert_eq!(world.remap(addr, old, new, flags, to), Err(errno), "{addr:#x} {old:#x} {new:#x} {flags} {to:#x}");
    }
    assert_eq!(world.remap(start, 4 * K, K, 0, 0), Ok(start), "shrinking over two areas");
    world.end();
}

#[test]
fn shared_memory_can_be_mapped_twice_and_ends_with_its_object() {
    let mut world = World::new();
    let start = world.map(0, 2 * K, RW, SHARED).expect("there is room");
    world.store(start, 3).expect("it is mapped");
    let twin = world.remap(start, 0, 2 * K, MAY_MOVE, 0).expect("it is shared");
    assert_eq!(world.load(twin), Ok(3));
    let longer = world.remap(twin, 2 * K, 4 * K, MAY_MOVE, 0).expect("there is room");
    assert_eq!(world.load(longer + 2 * K), Err(FaultError::BusAdrErr));
    world.end();
}

#[test]
fn changes_of_areas_are_told_once() {
    let mut world = World::new();
    let start = world.anonymous(4 * K);
    let told = |world: &mut World| {
        let changes = world.mm.area_changes(world.id);
        changes.iter().map(|change| (change.verb, (change.start.get() - start) / K)).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut world), [(trace::AreaVerb::Mapped, 0)]);
    world.mm.mprotect(world.id, start + K, K, R).expect("it is mapped");
    let split = [(trace::AreaVerb::Changed, 0), (trace::AreaVerb::Mapped, 1), (trace::AreaVerb::Mapped, 2)];
    assert_eq!(told(&mut world), split);
    world.mm.munmap(world.id, start + 2 * K, 2 * K).expect("it is aligned");
    assert_eq!(told(&mut world), [(trace::AreaVerb::Unmapped, 2)]);
    assert_eq!(told(&mut world), []);
    world.end();
}

#[test]
fn named_memory_is_an_area_of_its_own() {
    let mut world = World::new();
    let start = world.anonymous(4 * K);
    let id = world.id;
    assert_eq!(world.mm.name_areas(id, start + K, K, Some(b"my [arena]")), Err(Errno::EINVAL));
    assert_eq!(world.mm.name_areas(id, start + K, K, Some(&[b'a'; 80])), Err(Errno::EINVAL));
    assert_eq!(world.mm.name_areas(id, start + K, K, Some(b"arena")), Ok(()));
    assert!(world.mm.maps_text(id).lines().nth(1).expect("three areas").ends_with(" [anon:arena]"));
    assert_eq!(world.mm.name_areas(id, start, 5 * K, None), Err(Errno::ENOMEM));
    assert_eq!(world.mm.area_count(id), 1);
    world.end();
}

#[test]
fn five_levels_give_high_addresses_to_those_who_ask() {
    let mut world = World::with_config(16384, MmConfig { levels: Levels::Five, ..MmConfig::default() });
    assert_eq!(world.anonymous(K), 0x7fff_f7ff_e000);
    let high = 0x00ff_0000_0000_0000;
    assert_eq!(world.map(high, 2 * K, RW, PRIVATE), Ok(high));
    world.store(high + K, 7).expect("it is mapped");
    assert_eq!(world.load(high + K), Ok(7));
    let child = world.mm.fork_space(world.id).expect("there is RAM");
    let parent = std::mem::replace(&mut world.id, child);
    world.store(high + K, 8).expect("it is mapped");
    world.mm.release_space(child);
    world.id = parent;
    assert_eq!(world.load(high + K), Ok(7));
    assert_eq!(world.mm.munmap(world.id, high, 2 * K), Ok(()));
    world.end();
}
