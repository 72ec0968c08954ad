//! A table that grows at its end and stays where it is.

use crate::ahead::{Pages, Reservation};
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Rows in memory that is reserved for all of them at once, and committed by the host before they come: as a `Vec` that
/// never waits for the host's page faults.
pub struct Table<T> {
    memory: Reservation,
    len: usize,
    capacity: usize,
    rows: PhantomData<T>,
}

impl<T> Table<T> {
    /// A table without rows that has room for some; for more it moves.
    ///
    /// # Errors
    /// The host's, when it cannot reserve the address range.
    pub fn with_capacity(capacity: usize) -> io::Result<Self> {
        Ok(Self { memory: Self::reserve(capacity)?, len: 0, capacity, rows: PhantomData })
    }

    fn reserve(capacity: usize) -> io::Result<Reservation> {
        const { assert!(size_of::<T>() > 0, "a row has bytes") };
        let bytes = capacity.checked_mul(size_of::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Reservation::new(bytes, Pages::Small, 0)
    }

    /// Appends a row.
    #[inline]
    pub fn push(&mut self, row: T) {
        let at = self.room_for(1);
        // SAFETY: the place is in the reservation, suits T, and holds no row.
        unsafe { at.write(row) };
        self.len += 1;
    }

    /// Appends rows.
    #[inline]
    pub fn extend_from_slice(&mut self, rows: &[T])
    where
        T: Copy,
    {
        let at = self.room_for(rows.len());
        // SAFETY: as many places as rows are in the reservation and hold none; `rows` is another's.
        unsafe { at.copy_from_nonoverlapping(rows.as_ptr(), rows.len()) };
        self.len += rows.len();
    }

    /// Drops all rows.
    pub fn clear(&mut self) {
        let rows: *mut [T] = &mut **self;
        self.len = 0;
        // SAFETY: they are not the table's any more.
        unsafe { rows.drop_in_place() };
    }

    /// The place behind the last row, where there is room for some more.
    #[inline]
    fn room_for(&mut self, more: usize) -> *mut T {
        if self.capacity - self.len < more {
            self.grow(more);
        }
        // SAFETY: no farther than the end of the reservation.
        let at = unsafe { self.first().add(self.len) };
        self.memory.reach(at as usize);
        at
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let capacity = (self.len + more).max(2 * self.capacity);
        let memory = Self::reserve(capacity).expect("the host has addresses left");
        // SAFETY: the new reservation is longer; rows are moved, and those in the old one not used again.
        unsafe { memory.start().as_ptr().cast::<T>().copy_from_nonoverlapping(self.first(), self.len) };
        (self.memory, self.capacity) = (memory, capacity);
    }

    #[inline]
    fn first(&self) -> *mut T {
        self.memory.start().as_ptr().cast()
    }
}

impl<T> Deref for Table<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: so many rows were written; a reservation begins with a page, which suits every T.
        unsafe { std::slice::from_raw_parts(self.first(), self.len) }
    }
}

impl<T> DerefMut for Table<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`; the table is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.first(), self.len) }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn rows_stay_until_they_are_dropped() {
        let row = Rc::new(7);
        let mut table = Table::with_capacity(2).expect("a page fits");
        assert!(table.is_empty());
        for count in 1..=5 {
            table.push(Rc::clone(&row));
            assert_eq!((table.len(), Rc::strong_count(&row)), (count, count + 1));
        }
        assert!(table.iter().all(|kept| Rc::ptr_eq(kept, &row)));
        table.clear();
        assert_eq!((table.len(), Rc::strong_count(&row)), (0, 1));
        table.push(Rc::clone(&row));
        drop(table);
        assert_eq!(Rc::strong_count(&row), 1);
    }

    #[test]
    fn many_rows_come_at_a_time() {
        let mut table = Table::with_capacity(0).expect("nothing fits");
        for first in (0..1 << 20).step_by(1000) {
            table.extend_from_slice(&std::array::from_fn::<u32, 1000, _>(|more| first + more as u32));
        }
        table[77] = 1;
        let is_as_written = |(at, row): (usize, &u32)| *row == if at == 77 { 1 } else { at as u32 };
        assert!(table.len() >= 1 << 20 && table.iter().enumerate().all(is_as_written));
    }
}
