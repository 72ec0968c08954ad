//! Trees of page tables and their code maps. After a fork two trees share one, until the mappings of either change.

use super::{CodeCache, Tree};
use crate::block::BlockId;
use crate::code_map::CodeMap;
use crate::context;
use crate::store::ProgramId;
use mmu::Tables;
use std::sync::Arc;

impl CodeCache {
    /// Makes a tree known that is about to run.
    pub fn register(&mut self, tables: &Arc<Tables>) {
        if !self.trees.contains_key(&tables.id()) {
            self.forget_dead_trees();
            let map = self.new_map();
            self.add_tree(tables, map);
        }
    }

    /// Lets a new tree, a copy of a known one, use its code.
    pub fn share(&mut self, parent: &Tables, child: &Arc<Tables>) {
        if let Some(map) = self.trees.get(&parent.id()).map(|tree| tree.map) {
            self.add_tree(child, map);
        }
    }

    fn add_tree(&mut self, tables: &Arc<Tables>, map: u64) {
        self.maps.entry(map).or_default().users += 1;
        self.trees.insert(tables.id(), Tree { map, tables: Arc::downgrade(tables) });
    }

    fn new_map(&mut self) -> u64 {
        self.next_map += 1;
        self.next_map
    }

    pub(super) fn map_of(&self, tables: &Tables) -> u64 {
        self.trees.get(&tables.id()).expect("a tree is registered before it runs").map
    }

    /// Says which program a tree is about to run.
    pub fn begin_program(&mut self, tables: &Arc<Tables>, name: &[u8]) {
        let Some(store) = &mut self.store else { return };
        let program: ProgramId = store.program(name);
        self.register(tables);
        let map = self.map_of(tables);
        self.maps.entry(map).or_default().program = Some(program);
    }

    fn forget_dead_trees(&mut self) {
        let dead = self.trees.extract_if(|_, tree| tree.tables.strong_count() == 0);
        let maps: Vec<u64> = dead.map(|(_, tree)| tree.map).collect();
        // What dead trees alone mapped is free by now.
        self.forget_written();
        maps.into_iter().for_each(|map| self.leave_map(map));
    }

    fn leave_map(&mut self, number: u64) {
        let map = self.maps.get_mut(&number).expect("a tree's map exists");
        map.users -= 1;
        if map.users == 0 {
            self.keep(number);
            let map = self.maps.get(&number).expect("a tree's map exists");
            let ids: Vec<BlockId> = map.blocks().collect();
            ids.into_iter().for_each(|id| self.kill(id));
            self.maps.remove(&number);
        }
    }

    /// Gives a tree whose mappings differ from now on a map of its own.
    pub(super) fn split(&mut self, tables: &Tables) {
        let old = self.map_of(tables);
        let map = self.new_map();
        if let Some(tree) = self.trees.get_mut(&tables.id()) {
            tree.map = map;
        }
        let program = self.maps[&old].program;
        self.maps.insert(map, CodeMap { users: 1, program, ..CodeMap::default() });
        self.leave_map(old);
        self.live_views().for_each(|view| context::flush_jump_cache(&view, self.gate.nowhere));
    }
}
