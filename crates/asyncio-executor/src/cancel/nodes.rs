//! Where the nodes of a task's scopes lie: the first in place, the others in a slab.
//!
//! Most tasks never have two scopes at once, and a timeout around each call is made and dropped a million times: for
//! these neither a search nor an allocation.

use std::ops::{Index, IndexMut};

use slab::Slab;

use super::scopes::Node;

#[derive(Default)]
pub(super) struct Nodes {
    /// Key 0.
    home: Option<Node>,
    /// Key n + 1.
    more: Slab<Node>,
}

impl Nodes {
    #[inline]
    pub(super) fn insert(&mut self, node: Node) -> usize {
        if self.home.is_none() {
            self.home = Some(node);
            return 0;
        }
        self.more.insert(node) + 1
    }

    /// Panics where there is no such node, as the indexing does: keys are handed out by `insert` and given back once.
    #[inline]
    pub(super) fn remove(&mut self, key: usize) -> Node {
        if key != 0 {
            return self.more.remove(key - 1);
        }
        match self.home.take() {
            Some(node) => node,
            None => no_such_node(),
        }
    }

    #[inline]
    pub(super) fn get(&self, key: usize) -> Option<&Node> {
        match key {
            0 => self.home.as_ref(),
            key => self.more.get(key - 1),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Node> {
        match key {
            0 => self.home.as_mut(),
            key => self.more.get_mut(key - 1),
        }
    }

    pub(super) fn contains(&self, key: usize) -> bool {
        self.get(key).is_some()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.home.is_none() && self.more.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Node)> {
        let home = self.home.iter().map(|node| (0, node));
        home.chain(self.more.iter().map(|(key, node)| (key + 1, node)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Node)> {
        let home = self.home.iter_mut().map(|node| (0, node));
        home.chain(self.more.iter_mut().map(|(key, node)| (key + 1, node)))
    }
}

impl Index<usize> for Nodes {
    type Output = Node;

    #[inline]
    fn index(&self, key: usize) -> &Node {
        match self.get(key) {
            Some(node) => node,
            None => no_such_node(),
        }
    }
}

impl IndexMut<usize> for Nodes {
    #[inline]
    fn index_mut(&mut self, key: usize) -> &mut Node {
        match self.get_mut(key) {
            Some(node) => node,
            None => no_such_node(),
        }
    }
}

#[cold]
fn no_such_node() -> ! {
    unreachable!("a scope has its node until it leaves")
}
