//! The fuzzer: `FUZZ_TARGET=<name> fuzz [libFuzzer's flags] CORPUS…`. `tests/fuzz/run` builds it with coverage and runs it.

#![no_main]

use std::sync::LazyLock;

use fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names: Vec<_> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    fuzz::find(&name).unwrap_or_else(|| panic!("FUZZ_TARGET must be one of {names:?}, not {name:?}"))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (_, run) = *TARGET;
    run(data);
});
