//! The claims of ARCHITECTURE.md about the source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::source::{LIBRARY, root};
use super::{files, map, name_of, relative};

/// Crates whose types only the listed modules use.
const KEPT: [(&str, &[&str]); 10] = [
    ("actix", &["actor", "handle", "local_job", "local_watch", "node", "work"]),
    ("argon2", &["auth"]),
    ("bincode", &["jobs", "record", "rpc::codec"]),
    ("clap", &["cli"]),
    ("croner", &["queue"]),
    ("jiff", &["cli", "duration", "queue"]),
    ("libmimalloc_sys", &["allocator"]),
    ("tokio_rustls", &["rpc::tls"]),
    ("x509_cert", &["rpc::tls"]),
    ("yamux", &["rpc::link"]),
];

/// The files with `unsafe` code, and the number of such lines.
const UNSAFE: [(&str, usize); 2] = [("src/allocator.rs", 8), ("src/cli/job/guard.rs", 1)];

/// Maximum number of lines between a message and the start of its comment `# bound:`.
const BOUND_LINES: usize = 6;

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// Returns the words between backticks in `text`.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn crates_are_kept_to_their_modules() {
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for module in &LIBRARY.modules {
        for path in &module.external {
            used.entry(&path[0]).or_default().extend(name_of(&module.path));
        }
    }
    for (name, modules) in KEPT {
        let modules = modules.iter().map(|module| (*module).to_owned()).collect();
        assert_eq!(
            used[name], modules,
            "the modules that use {name}, and on the right those listed"
        );
    }
}

/// Tests are exempt, as are words in comments.
#[test]
fn unsafe_code_is_where_it_is_listed_and_every_message_states_its_bound() {
    for path in files("src") {
        let name = relative(&path);
        if name.contains("/tests") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // Not at `mod tests;`, which product code may follow.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines: Vec<&str> = code.lines().collect();
        let mut blocks = 0;
        for (at, line) in
            lines.iter().enumerate().filter(|(_, line)| !line.trim().starts_with("//"))
        {
            blocks += usize::from(line.contains("unsafe {") || line.contains("unsafe fn"));
            if line.contains(".do_send(") {
                let above = &lines[at.saturating_sub(BOUND_LINES)..=at];
                let states = above.iter().any(|line| line.contains("bound:"));
                assert!(states, "{name}:{}: `# bound:` is missing", at + 1);
            }
        }
        let listed = UNSAFE.iter().find(|(file, _)| *file == name).map_or(0, |(_, lines)| *lines);
        assert_eq!(blocks, listed, "lines with unsafe code in {name}");
    }
}

/// Items that are not part of the API are private, or behind the feature `internals`.
#[test]
fn no_public_module_is_hidden() {
    for path in files("src") {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for at in (0..lines.len()).filter(|at| lines[*at] == "#[doc(hidden)]") {
            let item = lines[at..].iter().find(|line| !line.starts_with("#[")).unwrap();
            assert!(!item.starts_with("pub mod"), "{}: `{item}` is hidden", relative(&path));
        }
    }
}

/// The table lists every module of the map, and no others.
#[test]
fn the_table_of_modules_is_whole() {
    let text = architecture();
    let (_, section) = text.split_once("\n## The modules\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    let named: Vec<&str> = cells.flat_map(quoted).collect();
    for name in &named {
        assert!(root().join("src").join(name).exists(), "there is no src/{name}");
    }
    for (module, _) in map() {
        let dir = module.replace("::", "/");
        let listed = named.iter().any(|name| name.trim_end_matches(".rs") == dir);
        assert!(listed, "the table of ARCHITECTURE.md does not have {module}");
    }
}

#[test]
fn the_files_that_the_text_names_exist() {
    let mut all = Vec::new();
    for dir in ["src", "tests", "crates", "fuzz/fuzz_targets"] {
        all.extend(files(dir).iter().map(|path| format!("/{}", relative(path))));
    }
    let text = architecture();
    for name in quoted(&text).filter(|word| word.ends_with(".rs") && !word.contains(' ')) {
        let is_there = all.iter().any(|path| path.ends_with(&format!("/{name}")));
        assert!(is_there, "ARCHITECTURE.md names {name}, which does not exist");
    }
}
