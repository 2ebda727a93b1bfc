//! The map of the source: the modules that each module may use, and what must not occur in which.
//!
//! [`exceptions`] lists the known exceptions. Each list is compared in both directions, so an
//! exception that is no longer needed must be removed.

mod document;
mod exceptions;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use source::{LIBRARY, Module, root};

/// The map.
const MODULES: &str = include_str!("modules.txt");

/// The modules whose submodules the map lists one by one.
const SPLIT: [&str; 1] = ["rpc"];

/// The pure cores, and the crates that each may use. None of these crates provides a clock,
/// randomness, threads or I/O (`jiff` and `croner` are built without their clocks).
const CORES: [(&str, &[&str]); 4] = [
    ("model", &["serde"]),
    ("store", &["hashbrown", "serde", "serde_bytes", "siphasher", "slab", "smallvec", "thiserror"]),
    ("watch", &["hashbrown", "slab", "smallvec"]),
    ("queue", &["croner", "jiff", "serde", "serde_bytes", "siphasher", "slab", "thiserror"]),
];

/// Other parts of the crate that a core may use: modules, or single types of modules that are not
/// pure.
const BELOW_CORES: [&str; 11] = [
    "buffered",
    "config",
    "environment::RandomState",
    "error",
    "fair",
    "journal::RecordBatch",
    "model",
    "record",
    "store",
    "time",
    "watch",
];

/// The modules of the standard library with clocks, threads, processes or I/O.
const IMPURE: [&str; 8] = ["env", "fs", "io", "net", "os", "process", "thread", "time"];

/// Maximum lines of a file, including tests.
const FILE_LINES_MAX: usize = 520;

/// Compares `found` with `listed`, which must be sorted.
fn compare(what: &str, found: BTreeSet<String>, listed: &[impl Display]) {
    let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
    assert!(listed.is_sorted(), "sort the exceptions for: {what}");
    let listed: BTreeSet<String> = listed.into_iter().collect();
    let new: Vec<_> = found.difference(&listed).collect();
    assert!(new.is_empty(), "{what}: {new:#?}");
    let stale: Vec<_> = listed.difference(&found).collect();
    assert!(stale.is_empty(), "{what}: no longer so, remove from exceptions.rs: {stale:#?}");
}

/// Returns the name in the map of the module that `path` leads into.
fn name_of(path: &[String]) -> Option<String> {
    LIBRARY.name_of(path, &SPLIT)
}

/// Returns the modules that each module of the map uses, with one file that does so.
fn uses() -> BTreeMap<String, BTreeMap<String, &'static str>> {
    let mut uses: BTreeMap<String, BTreeMap<String, &str>> = BTreeMap::new();
    for module in LIBRARY.modules.iter().filter(|module| !module.path.is_empty()) {
        let from = name_of(&module.path).unwrap();
        let used = uses.entry(from.clone()).or_default();
        for to in module.internal.iter().filter_map(|path| name_of(path)) {
            if to != from {
                used.insert(to, &module.file);
            }
        }
    }
    uses
}

/// Returns the lines of the map: each module with those that it may use, as written.
fn map() -> Vec<(&'static str, Vec<&'static str>)> {
    let lines = MODULES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().and_then(|name| name.strip_suffix(':')).expect(line);
            (name, words.collect())
        })
        .collect()
}

/// The map lists exactly the existing uses, and each goes down, so there is no circle.
#[test]
fn every_use_between_modules_is_on_the_map_and_goes_down() {
    let map = map();
    let mut uses = uses();
    let rank: BTreeMap<&str, usize> =
        map.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    assert_eq!(rank.len(), map.len(), "a module is on the map twice");
    let mut wrong = Vec::new();
    for (at, (name, listed)) in map.iter().enumerate() {
        let Some(used) = uses.remove(*name) else {
            wrong.push(format!("{name}: there is no such module"));
            continue;
        };
        let goes_up = |to: &&String| rank.get(to.as_str()).is_some_and(|to| *to < at);
        let up = used.keys().filter(goes_up);
        wrong.extend(up.map(|to| format!("{name}: uses {to}, which stands above ({})", used[to])));
        let is: Vec<&str> = used.keys().map(String::as_str).collect();
        if is == *listed {
            continue;
        }
        let added: Vec<String> = is
            .iter()
            .filter(|to| !listed.contains(to))
            .map(|to| format!("{to} ({})", used[*to]))
            .collect();
        wrong.push(format!(
            "not on the map: {added:?}; it would have to say\n{name}: {}",
            is.join(" ")
        ));
    }
    wrong.extend(uses.keys().map(|name| format!("{name}: missing on the map")));
    assert!(wrong.is_empty(), "tests/it/architecture/modules.txt:\n{}", wrong.join("\n"));
}

fn below(core: &str) -> impl Iterator<Item = &'static Module> {
    LIBRARY
        .modules
        .iter()
        .filter(move |module| module.path.first().is_some_and(|name| name == core))
}

#[test]
fn the_cores_know_no_actor_no_runtime_no_clock_no_randomness_and_no_io() {
    for (core, crates) in CORES {
        let mut used = BTreeSet::new();
        let mut impure = Vec::new();
        for module in below(core) {
            for path in &module.external {
                let of_std = ["std", "core", "alloc"].contains(&path[0].as_str());
                if !of_std {
                    used.insert(path[0].clone());
                } else if IMPURE.contains(&path[1].as_str())
                    && !path.join("::").starts_with("std::time::Duration")
                {
                    impure.push(format!("{}: {}", module.file, path.join("::")));
                }
            }
            for path in &module.internal {
                let Some(to) = name_of(path) else { continue };
                let allowed = |it: &&str| path.join("::").starts_with(*it) || *it == to;
                if to != core && !BELOW_CORES.iter().any(allowed) {
                    impure.push(format!("{}: {}", module.file, path.join("::")));
                }
            }
            let asks = module.paths().filter(|path| path.last().is_some_and(|last| last == "now"));
            impure.extend(asks.map(|path| format!("{}: {}", module.file, path.join("::"))));
        }
        assert!(impure.is_empty(), "{core} is pure: {impure:#?}");
        compare(&format!("crates that {core} is made of (CORES)"), used, crates);
    }
}

#[test]
fn wire_types_stay_in_the_wire() {
    let mut outside = BTreeSet::new();
    for module in
        LIBRARY.modules.iter().filter(|module| module.path.first().is_some_and(|it| it != "rpc"))
    {
        if module.internal.iter().filter_map(|path| name_of(path)).any(|name| name == "rpc::proto")
        {
            outside.insert(module.file.clone());
        }
    }
    compare("files outside `rpc` that use its wire types", outside, exceptions::WIRE_TYPES);
}

#[test]
fn every_type_has_a_name_of_its_own() {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for name in LIBRARY.modules.iter().flat_map(|module| &module.types) {
        *names.entry(name).or_default() += 1;
    }
    names.retain(|_, count| *count > 1);
    let found = names.iter().map(|(name, count)| format!("{name} {count}")).collect();
    compare("type names that are defined more than once, and how often", found, exceptions::NAMES);
}

#[test]
fn a_file_holds_one_noun() {
    let mut long = BTreeSet::new();
    for path in
        ["src", "tests", "crates", "examples", "fuzz/fuzz_targets"].into_iter().flat_map(files)
    {
        if fs::read_to_string(&path).unwrap().lines().count() > FILE_LINES_MAX {
            long.insert(relative(&path));
        }
    }
    compare(&format!("files above {FILE_LINES_MAX} lines"), long, exceptions::LONG_FILES);
}

/// Returns every Rust file below `dir`.
fn files(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}
