//! What this processor is and has, as far as the kernel asks. The engine asks for itself which vector instructions it may use.

use raw_cpuid::{CpuId, CpuIdReaderNative, TopologyType};
use x86_64::registers::control::Cr4Flags;

/// Return whether the machine is virtual.
pub(crate) fn hypervisor() -> bool {
    cpuid().get_feature_info().is_some_and(|features| features.has_hypervisor())
}

/// Return whether machine checks can be reported.
pub(crate) fn has_machine_check() -> bool {
    cpuid().get_feature_info().is_some_and(|features| features.has_mce() && features.has_mca())
}

/// Return whether pages of 1 GiB may be used.
pub(crate) fn has_1gib_pages() -> bool {
    cpuid().get_extended_processor_and_feature_identifiers().is_some_and(|f| f.has_1gib_pages())
}

/// Return whether pages can be marked as not executable.
pub(crate) fn has_no_execute() -> bool {
    cpuid().get_extended_processor_and_feature_identifiers().is_some_and(|f| f.has_execute_disable())
}

/// Return what this processor can refuse ring 0 of the lower half: to run its code (SMEP), to touch its data (SMAP); and ring 3, where
/// nothing runs, to ask for the descriptor tables (UMIP).
pub(crate) fn guards() -> Cr4Flags {
    let cpuid = cpuid();
    let Some(features) = cpuid.get_extended_feature_info() else { return Cr4Flags::empty() };
    let mut guards = Cr4Flags::empty();
    guards.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, features.has_smep());
    guards.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, features.has_smap());
    guards.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, features.has_umip());
    guards
}

/// Return whether AVX2 and FMA are there and the operating system (this one) has enabled their registers.
pub(crate) fn has_avx2_and_fma() -> bool {
    let cpuid = cpuid();
    let basic = cpuid.get_feature_info().is_some_and(|f| f.has_fma() && f.has_avx() && f.has_oxsave());
    basic && cpuid.get_extended_feature_info().is_some_and(|f| f.has_avx2())
}

/// Return this core's number for interrupts.
pub(crate) fn apic_id() -> u32 {
    let cpuid = cpuid();
    let extended = cpuid.get_extended_topology_info().and_then(|mut levels| levels.next());
    match extended {
        Some(level) => level.x2apic_id(),
        None => cpuid.get_feature_info().map_or(0, |features| features.initial_local_apic_id().into()),
    }
}

/// Return the number of the physical core that this hardware thread is of (Intel SDM vol. 3, 10.9.1; AMD has the same leaf).
pub(crate) fn physical_core() -> u32 {
    let threads = cpuid()
        .get_extended_topology_info()
        .and_then(|mut levels| levels.find(|level| level.level_type() == TopologyType::SMT));
    apic_id() >> threads.map_or(0, |level| level.shift_right_for_next_apic_id())
}

/// CPUID by the processor's own instruction.
pub(crate) fn cpuid() -> CpuId<CpuIdReaderNative> {
    CpuId::new()
}
