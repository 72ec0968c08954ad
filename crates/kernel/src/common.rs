//! What a process has for itself, or in common with the one that made it: its signal actions (CLONE_SIGHAND), its
//! working directory (CLONE_FS), its descriptors (CLONE_FILES).

use std::sync::{Arc, Mutex, PoisonError};

/// Whether what a new task has is its maker's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// It begins with a copy, made before its maker goes on.
    Copied,
    /// It is the same.
    Shared,
}

/// A value that several processes may have in common.
#[derive(Debug)]
pub(crate) struct Common<T>(Arc<Mutex<T>>);

impl<T: Clone> Common<T> {
    /// One process's own.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// What a process that this one makes has.
    pub fn inherited(&self, sharing: Sharing) -> Self {
        match sharing {
            Sharing::Copied => Self::new(self.get()),
            Sharing::Shared => Self(Arc::clone(&self.0)),
        }
    }

    /// The value.
    pub fn get(&self) -> T {
        self.change(|value| value.clone())
    }

    /// Looks at it, or changes it for all who have it.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether others have it too.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// From now on it is this process's own.
    pub fn leave(&mut self) {
        if self.is_shared() {
            *self = Self::new(self.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_changes_for_all_until_one_leaves() {
        let first = Common::new(1);
        let (mut second, third) = (first.inherited(Sharing::Shared), first.inherited(Sharing::Copied));
        second.change(|value| *value = 2);
        assert_eq!((first.get(), second.get(), third.get()), (2, 2, 1));
        assert!(first.is_shared() && !third.is_shared());
        second.leave();
        second.change(|value| *value = 3);
        assert_eq!((first.get(), second.get(), first.is_shared()), (2, 3, false));
    }
}
