//! The source of the library as the compiler splits it into modules, without what only tests compile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Item;

/// A path of at least two segments, or the segments after `crate`.
pub(super) type Segments = Vec<String>;

/// A module, in a file or inline.
pub(super) struct Module {
    /// Its path below the crate; empty for `lib.rs`.
    pub(super) path: Segments,
    /// Its file, relative to the repository.
    pub(super) file: String,
    /// Absolute paths into the crate, without `crate`.
    pub(super) internal: BTreeSet<Segments>,
    /// Paths that begin with the name of a crate.
    pub(super) external: BTreeSet<Segments>,
    /// Other paths, which begin with a name in scope.
    local: BTreeSet<Segments>,
    /// Structs, enums, unions, traits and type aliases that are defined here.
    pub(super) types: Vec<String>,
}

impl Module {
    /// All paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Segments> {
        self.internal.iter().chain(&self.external).chain(&self.local)
    }
}

/// The modules of the library.
pub(super) struct Library {
    pub(super) modules: Vec<Module>,
    /// The items that `lib.rs` re-exports by name, with their paths.
    aliases: BTreeMap<String, Segments>,
    /// The module that `lib.rs` re-exports with `*`.
    glob: Segments,
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The library, read once for all tests.
pub(super) static LIBRARY: LazyLock<Library> = LazyLock::new(Library::read);

impl Library {
    fn read() -> Self {
        let mut reader = Reader { crates: crates(), modules: Vec::new() };
        reader.file(&root().join("src/lib.rs"), &root().join("src"), Vec::new());
        let lib = &reader.modules[0];
        assert!(lib.path.is_empty());
        let mut aliases = BTreeMap::new();
        let mut globs = Vec::new();
        for path in &lib.internal {
            match path.split_last() {
                Some((last, path)) if last == "*" => globs.push(path.to_vec()),
                Some((last, _)) => drop(aliases.insert(last.clone(), path.clone())),
                None => {}
            }
        }
        let [glob] = &globs[..] else { panic!("lib.rs re-exports {globs:?} whole; one is known") };
        Self { glob: glob.clone(), aliases, modules: reader.modules }
    }

    fn is_module(&self, path: &[String]) -> bool {
        self.modules.iter().any(|module| module.path == path)
    }

    /// Returns the name, in `modules.txt`, of the module that `path` leads into: the first segment, and
    /// the second too where `split` names the first.
    pub(super) fn name_of(&self, path: &[String], split: &[&str]) -> Option<String> {
        let first = path.first()?;
        if !self.is_module(&path[..1]) {
            let path = self.aliases.get(first).unwrap_or(&self.glob);
            return self.name_of(path, split);
        }
        let deep = split.contains(&first.as_str()) && path.len() > 1 && self.is_module(&path[..2]);
        Some(path[..if deep { 2 } else { 1 }].join("::"))
    }
}

/// Returns the names by which the code refers to other crates.
fn crates() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let mut tables = vec![&manifest["dependencies"]];
    tables.extend(manifest["target"].as_table().unwrap().values().map(|of| &of["dependencies"]));
    let names = tables.iter().flat_map(|table| table.as_table().unwrap().keys());
    let mut crates: BTreeSet<String> = names.map(|name| name.replace('-', "_")).collect();
    crates.extend(["std", "core", "alloc"].map(str::to_owned));
    crates
}

struct Reader {
    crates: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Reader {
    /// Reads a file; `children` is the directory of the modules that it declares.
    fn file(&mut self, file: &Path, children: &Path, path: Segments) {
        let text = fs::read_to_string(file).unwrap();
        let items =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{file:?}: {error}")).items;
        self.module(file, children, path, items);
    }

    fn module(&mut self, file: &Path, children: &Path, path: Segments, items: Vec<Item>) {
        let at = self.modules.len();
        let relative = file.strip_prefix(root()).unwrap().display().to_string();
        self.modules.push(Module {
            path: path.clone(),
            file: relative,
            internal: BTreeSet::new(),
            external: BTreeSet::new(),
            local: BTreeSet::new(),
            types: Vec::new(),
        });
        let mut found = BTreeSet::new();
        let mut names = BTreeSet::new();
        for item in items {
            let tokens: Vec<TokenTree> = item.to_token_stream().into_iter().collect();
            if attributes(&tokens).0.iter().any(is_left_out) {
                continue;
            }
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    names.insert(name.clone());
                    let path = [&path[..], std::slice::from_ref(&name)].concat();
                    let children = children.join(&name);
                    match module.content {
                        Some((_, items)) => self.module(file, &children, path, items),
                        None => self.file(&file_of(&children), &children, path),
                    }
                    continue;
                }
                Item::Struct(item) => self.modules[at].types.push(item.ident.to_string()),
                Item::Enum(item) => self.modules[at].types.push(item.ident.to_string()),
                Item::Union(item) => self.modules[at].types.push(item.ident.to_string()),
                Item::Trait(item) => self.modules[at].types.push(item.ident.to_string()),
                Item::Type(item) => self.modules[at].types.push(item.ident.to_string()),
                _ => {}
            }
            paths(&tokens, &mut found);
        }
        for segments in found {
            if let Some(path) = internal(&path, &names, &segments) {
                self.modules[at].internal.insert(path);
            } else if self.crates.contains(&segments[0]) {
                self.modules[at].external.insert(segments);
            } else {
                self.modules[at].local.insert(segments);
            }
        }
    }
}

/// Returns the file of the module whose submodules are in `children`.
fn file_of(children: &Path) -> PathBuf {
    let file = children.with_extension("rs");
    if file.exists() { file } else { children.join("mod.rs") }
}

/// Returns `segments` below the crate, if they lead to a place in it; they were found in the module
/// `here`, which has the modules `names`.
fn internal(here: &[String], names: &BTreeSet<String>, segments: &[String]) -> Option<Segments> {
    let (first, mut rest) = segments.split_first()?;
    let mut base = match first.as_str() {
        "crate" => return Some(rest.to_vec()),
        "self" => here.to_vec(),
        "super" => here[..here.len() - 1].to_vec(),
        name if names.contains(name) => return Some([here, segments].concat()),
        _ => return None,
    };
    while let Some(("super", after)) = rest.split_first().map(|(next, rest)| (next.as_str(), rest))
    {
        base.pop();
        rest = after;
    }
    base.extend_from_slice(rest);
    Some(base)
}

/// Returns the attributes that `tokens` begin with, and what follows them.
fn attributes(tokens: &[TokenTree]) -> (Vec<TokenStream>, &[TokenTree]) {
    let mut found = Vec::new();
    let mut rest = tokens;
    while let [TokenTree::Punct(sign), TokenTree::Group(group), after @ ..] = rest
        && sign.as_char() == '#'
        && group.delimiter() == Delimiter::Bracket
    {
        found.push(group.stream());
        rest = after;
    }
    (found, rest)
}

/// Returns true if the item with this attribute is compiled only for tests or, as an exported
/// macro, into other crates.
fn is_left_out(attribute: &TokenStream) -> bool {
    let text = attribute.to_string().replace(' ', "");
    text == "cfg(test)"
        || text == "cfg(doctest)"
        || text.starts_with("cfg(all(test,")
        || text == "macro_export"
}

/// Returns what follows the item, statement, field or arm that `tokens` begin with.
fn skip(tokens: &[TokenTree]) -> &[TokenTree] {
    let mut is_item = false;
    for (at, token) in tokens.iter().enumerate() {
        let ends = match token {
            TokenTree::Ident(word) => {
                is_item |=
                    ["fn", "impl", "struct", "enum", "let", "type", "trait", "const", "static"]
                        .iter()
                        .any(|item| word == item);
                false
            }
            TokenTree::Punct(sign) => sign.as_char() == ';' || (sign.as_char() == ',' && !is_item),
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Literal(_) => false,
        };
        if ends {
            return &tokens[at + 1..];
        }
    }
    &[]
}

/// Collects the paths in `tokens`, including those in arguments of macros.
fn paths(tokens: &[TokenTree], found: &mut BTreeSet<Segments>) {
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        let (attributes, item) = attributes(rest);
        if attributes.iter().any(is_left_out) {
            rest = skip(item);
            continue;
        }
        rest = match (token, after) {
            // `pub(in crate::rpc)` is a visibility.
            (TokenTree::Ident(word), [TokenTree::Group(group), after @ ..])
                if word == "pub" && group.delimiter() == Delimiter::Parenthesis =>
            {
                after
            }
            (TokenTree::Ident(_), _) => path(rest, &[], found),
            (TokenTree::Group(group), after) => {
                paths(&group.stream().into_iter().collect::<Vec<_>>(), found);
                after
            }
            (_, after) => after,
        };
    }
}

/// Reads the path that `tokens` begin with, relative to `prefix`, and returns the rest of the
/// tokens.
fn path<'t>(
    tokens: &'t [TokenTree],
    prefix: &[String],
    found: &mut BTreeSet<Segments>,
) -> &'t [TokenTree] {
    let mut segments = prefix.to_vec();
    let mut rest = tokens;
    loop {
        match rest {
            [TokenTree::Ident(word), after @ ..] => {
                segments.push(word.to_string());
                rest = after;
            }
            [TokenTree::Punct(star), after @ ..] if star.as_char() == '*' => {
                segments.push("*".to_owned());
                found.insert(segments);
                return after;
            }
            [TokenTree::Group(group), after @ ..] if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
                for part in inner.split(is_comma) {
                    path(part, &segments, found);
                }
                return after;
            }
            _ => break,
        }
        match rest {
            [TokenTree::Punct(a), TokenTree::Punct(b), after @ ..]
                if a.as_char() == ':' && a.spacing() == Spacing::Joint && b.as_char() == ':' =>
            {
                rest = after;
            }
            _ => break,
        }
    }
    // `use a::{self}` is `a`.
    if segments.len() > 2 && segments.last().is_some_and(|last| last == "self") {
        segments.pop();
    }
    if segments.len() > 1 {
        found.insert(segments);
    }
    rest
}
