//! Bringing the other cores to life, and saying which of them compute.
//!
//! Limine has woken them already, and they have come to [`core_entry`]. Without it, the ACPI tables name them (MADT, ACPI 6.5, 5.2.12),
//! and each is woken by an INIT and a startup interrupt (Intel SDM vol. 3, 10.4.4).

use alloc::boxed::Box;
use core::cell::RefCell;

use ::acpi::AcpiError;
use ::acpi::madt::{Madt, MadtEntry};
use arrayvec::ArrayVec;
use engine::platform::Clock;
use x86_64::VirtAddr;

use super::team::TEAM;
use super::{CORES, Cores};
use crate::arch::apic::Apic;
use crate::arch::core_entry::{self, CoreStart, MAX_OTHERS, TRAMPOLINE_PAGE};
use crate::arch::features;
use crate::arch::gdt::{ExceptionStack, Segments};
use crate::arch::tsc::Tsc;
use crate::boot::{BootInfo, OtherCores};
use crate::drivers::acpi;
use crate::memory::{Memory, STACK_BYTES};

/// How long a core may take to come. Under emulation on a busy machine it takes some milliseconds.
const PATIENCE_NS: u64 = 500_000_000;

/// A core that needs two startup interrupts has not come by then (Intel SDM vol. 3, 10.4.4.1: 200 µs).
const SECOND_STARTUP_NS: u64 = 10_000_000;

/// The stacks of one core: its own, and those for exceptions.
type Stacks = (VirtAddr, [VirtAddr; ExceptionStack::COUNT]);

/// Cores that have come, with stacks.
pub(crate) struct Arrived(ArrayVec<Stacks, MAX_OTHERS>);

/// Wake the others unless the loader did, and give those that come stacks; of all cores, `limit` are to compute.
pub(crate) fn wake(
    boot: &BootInfo,
    limit: usize,
    memory: &mut Memory,
    apic: &Apic,
    clock: &dyn Clock,
) -> Arrived {
    let n_wanted = limit.saturating_sub(1).min(MAX_OTHERS);
    TEAM.lock().open(features::physical_core(), n_wanted);
    if let OtherCores::Asleep = boot.other_cores
        && n_wanted > 0
    {
        match listed(boot.rsdp, memory) {
            Ok(apic_ids) => start_up(&apic_ids, apic, clock),
            Err(error) => log::warn!("the ACPI tables name no cores: {error:?}; one core computes"),
        }
    }
    let new_stacks = |_| {
        (
            memory.new_stack(STACK_BYTES),
            [(); ExceptionStack::COUNT].map(|()| memory.new_stack(ExceptionStack::BYTES)),
        )
    };
    Arrived((0..core_entry::arrived().min(MAX_OTHERS)).map(new_stacks).collect())
}

/// Let the cores that have come join, and return all that compute.
pub(crate) fn start(arrived: Arrived, apic: &Apic, clock: &Tsc) -> &'static Cores {
    let n_arrived = arrived.0.len();
    for (number, (stack_top, exception_stacks)) in arrived.0.into_iter().enumerate() {
        let start = CoreStart { stack_top, exception_stacks, segments: Segments::new(), apic: apic.clone() };
        core_entry::start(number, Box::leak(Box::new(start)));
    }
    let deadline_ns = clock.now_ns() + PATIENCE_NS;
    while TEAM.lock().n_seen < n_arrived && clock.now_ns() < deadline_ns {
        core::hint::spin_loop();
    }
    let mut team = TEAM.lock();
    team.close();
    if team.n_seen < n_arrived {
        log::warn!("{} cores came and did not go on; they are left out", n_arrived - team.n_seen);
    }
    log::info!(
        "cores: {} compute, of {} that are there; {} are second threads of one core",
        team.apic_ids.len() + 1,
        n_arrived + 1,
        team.n_siblings
    );
    let apic_ids = Box::leak(team.apic_ids.as_slice().into());
    CORES.call_once(|| Cores {
        apic: apic.clone(),
        clock: *clock,
        first_apic_id: features::apic_id(),
        apic_ids,
    })
}

/// Wake the sleeping cores of these numbers, and wait until they have come.
fn start_up(apic_ids: &[u32], apic: &Apic, clock: &dyn Clock) {
    // SAFETY: who sleeps until a startup interrupt came by the PVH door, with the image where it is linked; the first MiB is RAM
    // and in the direct map on every PC, and nothing of it is handed out.
    unsafe { core_entry::put_trampoline() };
    for &apic_id in apic_ids {
        apic.init(apic_id);
    }
    for &apic_id in apic_ids {
        let n_before = core_entry::arrived();
        let begin_ns = clock.now_ns();
        let mut n_startups = 0;
        while core_entry::arrived() == n_before {
            let past_ns = clock.now_ns() - begin_ns;
            if past_ns >= n_startups * SECOND_STARTUP_NS && n_startups < 2 {
                apic.startup(apic_id, TRAMPOLINE_PAGE);
                n_startups += 1;
            }
            if past_ns > PATIENCE_NS {
                log::warn!("the core with APIC number {apic_id} does not come; it is left out");
                break;
            }
            core::hint::spin_loop();
        }
    }
}

/// Return the APIC numbers of the cores that the ACPI tables list as usable, without this one.
fn listed(rsdp: Option<u64>, memory: &mut Memory) -> Result<ArrayVec<u32, MAX_OTHERS>, AcpiError> {
    let memory = RefCell::new(memory);
    let tables = acpi::tables(rsdp, &memory)?;
    let madt = tables.find_table::<Madt>()?;
    let is_usable = |flags: u32| flags & 1 != 0;
    let mut apic_ids = ArrayVec::new();
    for entry in madt.get().entries() {
        let apic_id = match entry {
            MadtEntry::LocalApic(core) if is_usable(core.flags) => u32::from(core.apic_id),
            MadtEntry::LocalX2Apic(core) if is_usable(core.flags) => core.x2apic_id,
            _ => continue,
        };
        if apic_id != features::apic_id() && apic_ids.try_push(apic_id).is_err() {
            break;
        }
    }
    Ok(apic_ids)
}
