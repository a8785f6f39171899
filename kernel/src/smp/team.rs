//! Which cores compute: one per physical core, as many as are asked for, those that came in time.

use arrayvec::ArrayVec;
use spin::Mutex;

use crate::arch::core_entry::MAX_OTHERS;

/// The cores that joined so far.
pub(super) static TEAM: Mutex<Team> = Mutex::new(Team {
    physical_cores: ArrayVec::new_const(),
    apic_ids: ArrayVec::new_const(),
    n_wanted: 0,
    n_seen: 0,
    n_siblings: 0,
});

/// Cores that compute, in the order in which they came.
pub(super) struct Team {
    /// The first core's, and the others'.
    physical_cores: ArrayVec<u32, { MAX_OTHERS + 1 }>,
    /// The others' numbers for interrupts.
    pub(super) apic_ids: ArrayVec<u32, MAX_OTHERS>,
    /// How many others may join.
    n_wanted: usize,
    /// How many others came, whether they joined or not.
    pub(super) n_seen: usize,
    /// How many were left out because another hardware thread of their core is there.
    pub(super) n_siblings: usize,
}

impl Team {
    /// Let up to `n_wanted` others join the first core.
    pub(super) fn open(&mut self, first_physical_core: u32, n_wanted: usize) {
        self.physical_cores.push(first_physical_core);
        self.n_wanted = n_wanted;
    }

    /// Let nobody join any more.
    pub(super) fn close(&mut self) {
        self.n_wanted = self.apic_ids.len();
    }

    /// Return the number from 1 of the worker that a core is from now on; nothing when it is not needed.
    pub(super) fn join(&mut self, physical_core: u32, apic_id: u32) -> Option<usize> {
        self.n_seen += 1;
        if self.physical_cores.contains(&physical_core) {
            self.n_siblings += 1;
            return None;
        }
        if self.apic_ids.len() == self.n_wanted {
            return None;
        }
        self.physical_cores.push(physical_core);
        self.apic_ids.push(apic_id);
        Some(self.apic_ids.len())
    }
}
