//! Suggestions for misspelt names.

/// Returns the known name nearest to `name`, if there is a similar one.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |known: &&str| strsim::damerau_levenshtein(name, known);
    let found = known.into_iter().map(|known| (near(&known), known)).min_by_key(|(far, _)| *far);
    found.filter(|(far, _)| *far <= 1 + name.len() / 3).map(|(_, known)| known)
}

/// Returns `; did you mean ..?`, or nothing.
pub(crate) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_nonsense_is_not() {
        let known = ["listen", "data-dir", "durability", "log", "log-format"];
        assert_eq!(nearest("lisetn", known), Some("listen"));
        assert_eq!(nearest("datadir", known), Some("data-dir"));
        assert_eq!(nearest("log-fromat", known), Some("log-format"));
        assert_eq!(nearest("replication-factor", known), None);
        assert_eq!(hint("x", []), "");
    }
}
