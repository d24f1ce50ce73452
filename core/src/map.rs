//! A map whose keys are a few integers, for what is looked up at every send and receive.
//!
//! Key and value lie side by side, at the first free place from the one that the key asks for: mostly one
//! line of memory is touched. std's map hashes, and looks in two places.

use crate::sys::{Errno, Result};

/// A key that knows its place.
pub(crate) trait Place: Copy + Eq {
    /// Any number, whose lower bits tell one key from others.
    fn place(self) -> usize;
}

#[derive(Debug)]
pub(crate) struct Map<K, V> {
    /// A power of two, of which at most half are filled; or none at all.
    slots: Vec<Option<(K, V)>>,
    len: usize,
}

/// So many slots at first.
const FEW: usize = 4;

impl<K: Place, V> Map<K, V> {
    pub(crate) const fn new() -> Map<K, V> {
        Map { slots: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes room for one more. ENOMEM: there is no memory.
    pub(crate) fn reserve(&mut self) -> Result<()> {
        if self.len < self.slots.len() / 2 {
            return Ok(());
        }
        let count = (self.slots.len() * 2).max(FEW);
        let mut grown = Vec::new();
        grown.try_reserve_exact(count).map_err(|_| Errno(libc::ENOMEM))?;
        grown.resize_with(count, || None);
        let former = std::mem::replace(&mut self.slots, grown);
        for (key, value) in former.into_iter().flatten() {
            let free = self.find(key).unwrap_or_else(|free| free);
            self.slots[free] = Some((key, value));
        }
        Ok(())
    }

    /// There is room for it, and the key is not there yet.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Err(free) = self.find(key) {
            self.slots[free] = Some((key, value));
            self.len += 1;
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.look(key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (at, _) = self.look(key)?;
        self.slots[at].as_mut().map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let (mut hole, _) = self.look(key)?;
        let (_, value) = self.slots[hole].take()?;
        self.len -= 1;
        // Whatever stands behind it because its place was taken moves up.
        let mut at = hole;
        loop {
            at = self.next(at);
            let Some((key, _)) = &self.slots[at] else { return Some(value) };
            if self.distance(self.wanted(*key), at) >= self.distance(hole, at) {
                self.slots.swap(hole, at);
                hole = at;
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> + Clone {
        self.slots.iter().flatten().map(|(key, value)| (*key, value))
    }

    fn look(&self, key: K) -> Option<(usize, &V)> {
        let mut at = self.wanted(key);
        loop {
            match self.slots.get(at)? {
                Some((other, value)) if *other == key => return Some((at, value)),
                Some(_) => at = self.next(at),
                None => return None,
            }
        }
    }

    /// The slot of `key`, or the free one where it would stand. There are slots.
    fn find(&self, key: K) -> std::result::Result<usize, usize> {
        let mut at = self.wanted(key);
        loop {
            match &self.slots[at] {
                Some((other, _)) if *other == key => return Ok(at),
                Some(_) => at = self.next(at),
                None => return Err(at),
            }
        }
    }

    /// Where there are no slots: beyond them.
    fn wanted(&self, key: K) -> usize {
        key.place() & self.slots.len().wrapping_sub(1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.slots.len() - 1)
    }
}

impl Place for i32 {
    #[allow(clippy::cast_sign_loss, reason = "only the lower bits count")]
    fn place(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Numbers that repeat, so that keys come and go, and many ask for the same place.
    fn numbers() -> impl Iterator<Item = i32> {
        let mut state = 1_u32;
        std::iter::from_fn(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((state >> 24).cast_signed() * 8)
        })
    }

    #[test]
    fn it_holds_what_a_map_holds() {
        let (mut map, mut model) = (Map::new(), HashMap::new());
        let rounds = if cfg!(miri) { 40 } else { 5000 };
        for (round, key) in numbers().take(rounds).enumerate() {
            if round % 3 == 0 {
                assert_eq!(map.remove(key), model.remove(&key));
            } else {
                map.reserve().expect("memory");
                map.insert(key, round);
                model.entry(key).or_insert(round);
            }
            assert_eq!(map.len(), model.len());
            assert_eq!(map.iter().collect::<HashMap<_, _>>().len(), model.len());
            for (key, value) in &model {
                assert_eq!(map.get(*key), Some(value));
            }
            assert_eq!(map.get_mut(key).copied(), model.get(&key).copied());
        }
    }

    #[test]
    fn an_empty_one_is_asked_in_vain() {
        let mut map = Map::<i32, ()>::new();
        assert!(map.get(1).is_none() && map.get_mut(1).is_none() && map.remove(1).is_none());
    }

    #[test]
    fn numbers_in_a_row_have_places_of_their_own() {
        assert!((0..64).all(|number: i32| (number + 1).place() % 64 == (number.place() + 1) % 64));
    }
}
