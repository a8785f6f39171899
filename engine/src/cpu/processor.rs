//! What processor this is, for a person to read. The choice of inner loops does not depend on it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A processor as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processor {
    /// The name as its maker gives it.
    pub name: String,
    /// What it can do of all that matters to a language model, in the order of age.
    pub features: Vec<&'static str>,
}

impl Processor {
    /// Return the one that this runs on.
    #[cfg(target_arch = "x86_64")]
    pub fn detect() -> Self {
        let cpuid = raw_cpuid::CpuId::new();
        let name = cpuid.get_processor_brand_string().map(|brand| brand.as_str().trim().to_string());
        let (basic, extended) = (cpuid.get_feature_info(), cpuid.get_extended_feature_info());
        let has = |basic_has: &dyn Fn(&raw_cpuid::FeatureInfo) -> bool| basic.as_ref().is_some_and(basic_has);
        let extended_has =
            |has: &dyn Fn(&raw_cpuid::ExtendedFeatures) -> bool| extended.as_ref().is_some_and(has);
        let features = [
            ("SSE4.2", has(&|f| f.has_sse42())),
            ("AVX", has(&|f| f.has_avx())),
            ("F16C", has(&|f| f.has_f16c())),
            ("FMA", has(&|f| f.has_fma())),
            ("AVX2", extended_has(&|f| f.has_avx2())),
            ("AVX-512", extended_has(&|f| f.has_avx512f() && f.has_avx512bw() && f.has_avx512vl())),
            ("AVX512-VNNI", extended_has(&|f| f.has_avx512vnni())),
            ("AVX512-BF16", extended_has(&|f| f.has_avx512_bf16())),
            ("AVX-VNNI", extended_has(&|f| f.has_avx_vnni())),
            ("AMX-INT8", extended_has(&|f| f.has_amx_int8())),
        ];
        Self {
            name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown processor".to_string()),
            features: features.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect(),
        }
    }

    /// Return the one that this runs on.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn detect() -> Self {
        Self { name: "unknown processor".to_string(), features: Vec::new() }
    }
}
