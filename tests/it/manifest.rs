//! The claims of Cargo.toml, deny.toml, README.md and docs/dependencies.md about the dependencies
//! are true.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Returns the text of a file of the repository.
fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Returns every package in Cargo.lock, of all platforms.
fn packages() -> Vec<Value> {
    let metadata = ["metadata", "--locked", "--format-version", "1"];
    let run = Command::new(env!("CARGO"))
        .args(metadata)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let Value::Object(mut metadata) = serde_json::from_slice(&run.stdout).unwrap() else {
        panic!("`cargo metadata` prints no object")
    };
    let Some(Value::Array(packages)) = metadata.remove("packages") else {
        panic!("`cargo metadata` lists no packages")
    };
    packages
}

fn wakeful(packages: &[Value]) -> &Value {
    packages.iter().find(|package| package["name"] == env!("CARGO_PKG_NAME")).unwrap()
}

/// Returns a version that can be compared: `1.89` and `1.89.0` are the same.
fn version(text: &str) -> [u64; 3] {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

/// `cargo install` refuses a package whose dependencies need a later compiler than it declares.
#[test]
fn the_minimum_rust_is_enough_for_every_dependency() {
    let packages = packages();
    let declared = wakeful(&packages)["rust_version"].as_str().unwrap();
    for package in &packages {
        let Some(needed) = package["rust_version"].as_str() else { continue };
        assert!(
            version(needed) <= version(declared),
            "{} {} needs Rust {needed}, and Cargo.toml declares {declared}",
            package["name"],
            package["version"],
        );
    }
    assert!(file("README.md").contains(&format!("Rust {declared} or later")), "README.md");
}

/// Returns the files below `src` with a line of code for which `is` holds, without comments.
fn files_with(is: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    let mut dirs = vec![root.join("src")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            if text.lines().map(str::trim).any(|line| !line.starts_with("//") && is(line)) {
                found.insert(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found
}

/// deny.toml justifies an exception by where and how bincode is used.
#[test]
fn bincode_is_used_where_deny_toml_says_and_always_with_a_limit() {
    let uses = files_with(|line| line.contains("bincode::"));
    let deny = file("deny.toml");
    let excuse: String =
        deny.lines().take_while(|line| !line.contains("RUSTSEC-2025-0141")).collect();
    let named = excuse.split([' ', ',', ';', ':', '#']).filter(|word| word.starts_with("src/"));
    assert_eq!(uses, named.map(str::to_owned).collect(), "deny.toml, on the right");
    for path in &uses {
        assert!(file(path).contains(".with_limit::<"), "{path} decodes without a limit");
    }
}

/// Returns the features that enable each dependency; none for a dependency that is always enabled.
fn dependencies(package: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found = BTreeMap::new();
    for dependency in package["dependencies"].as_array().unwrap() {
        let name = dependency["name"].as_str().unwrap();
        let enables = format!("dep:{name}");
        let features = package["features"].as_object().unwrap().iter();
        let features =
            features.filter(|(_, list)| list.as_array().unwrap().contains(&enables[..].into()));
        found.insert(name, features.map(|(feature, _)| &**feature).collect());
    }
    found
}

/// In both directions, with the feature that each needs.
#[test]
fn the_table_of_dependencies_is_true_and_whole() {
    let packages = packages();
    let dependencies = dependencies(wakeful(&packages));
    let text = file("docs/dependencies.md");
    let mut explained = BTreeSet::new();
    for row in text.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let [names, feature, _] = row[2..].split(" | ").collect::<Vec<_>>()[..] else {
            panic!("three columns: {row}")
        };
        for name in names.trim_start_matches("*dev:* ").split(", ") {
            let name = name.split([' ', '(']).next().unwrap();
            let features =
                dependencies.get(name).unwrap_or_else(|| panic!("{name} is no dependency"));
            let listed = match feature {
                "always" | "tests" => BTreeSet::new(),
                feature => feature.split(", ").collect(),
            };
            assert_eq!(*features, listed, "{name}");
            assert!(explained.insert(name), "{name} is there twice");
        }
    }
    let missing: Vec<_> = dependencies.keys().filter(|name| !explained.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/dependencies.md does not explain {missing:?}");
}

/// Maximum number of crates that a program with only a client compiles, the program included.
const CLIENT_CRATES_MAX: usize = 60;

/// Returns the crates that `cargo build` with `arguments` compiles for this machine.
fn compiled(arguments: &[&str]) -> BTreeSet<String> {
    let run = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let lines = String::from_utf8(run.stdout).unwrap();
    let crates = lines.lines().filter_map(|line| line.split(" (").next());
    crates.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_program_with_only_a_client_compiles_few_crates() {
    let crates = compiled(&["--package", "wakeful-client-only"]);
    assert!(crates.iter().any(|name| name.starts_with("wakeful v")), "{crates:?}");
    assert!(crates.len() <= CLIENT_CRATES_MAX, "{}: {crates:#?}", crates.len());
    for name in ["actix", "jiff", "toml", "yamux", "argon2"] {
        let of_server = format!("{name} v");
        assert!(!crates.iter().any(|known| known.starts_with(&of_server)), "{name}");
    }
}

/// ARCHITECTURE.md states the number of crates of each feature set.
#[test]
fn the_numbers_of_crates_are_as_documented() {
    let document = file("ARCHITECTURE.md");
    let rows = document.lines().skip_while(|line| !line.starts_with("| features |")).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with("| ")).collect();
    assert!(rows.len() >= 5, "ARCHITECTURE.md: {rows:?}");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let features = cells[0].replace(['`', ' '], "");
        let features = match features.as_str() {
            "default" => vec![],
            "none" => vec!["--no-default-features"],
            features => vec!["--no-default-features", "--features", features],
        };
        assert_eq!(compiled(&features).len().to_string(), cells[1], "{row}");
        if cells[0] == "`client`" {
            let claim = format!("With `client` alone, {} crates", cells[1]);
            assert!(file("README.md").contains(&claim), "README.md: {claim}");
        }
    }
}

/// Git ignores the files that commands of README.md and of `docs` write.
#[test]
fn what_the_readme_makes_is_ignored() {
    let documents = ["README.md", "docs/links.md", "docs/tls.md", "docs/users.md"];
    let text: String = documents.iter().map(|name| file(name)).collect();
    let mut made = BTreeSet::from(["wakeful-data"]);
    for line in text.lines().filter(|line| line.starts_with("wakeful ") || line.contains(" > ")) {
        let words: Vec<&str> = line.split_whitespace().take_while(|word| *word != "#").collect();
        for (at, word) in words.iter().enumerate() {
            let follows = match *word {
                "--data-dir" | "--auth" | ">" | "--tls-cert" | "--tls-key" | "--tls-ca"
                | "--out" => 1,
                "backup" if words.first() == Some(&"wakeful") => 1,
                _ => continue,
            };
            let names = words.get(at + follows).map(|name| name.trim_end_matches(')'));
            made.extend(names.filter(|name| !name.starts_with('/')));
        }
    }
    for name in ["monday.wakeful", "guarded", "users.toml", "web-1.token", "token", "server.key"] {
        assert!(made.contains(name), "{name} is not found in {documents:?}: {made:?}");
    }
    for name in made {
        let mut git = Command::new("git");
        git.args(["check-ignore", "--quiet", name]).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(git.status().unwrap().success(), ".gitignore does not know {name}");
    }
}
