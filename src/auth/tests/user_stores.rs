//! The user file.

use super::super::password::tests::cheap;
use super::super::{Action, AuthFile, NewToken, Pattern, UserStore, hash_password};
use crate::config::AuthConfig;
use crate::error::{Details, ErrorCode};

fn store() -> UserStore {
    let mut store = UserStore::new();
    store.add_role("app").unwrap();
    store.add_role("ops").unwrap();
    store.set_admin("ops", true).unwrap();
    for action in Action::ALL {
        store.grant("app", action, Pattern::parse(r"a/\xff\\*").unwrap()).unwrap();
    }
    store.add_user("alice", Some(&hash_password("correct horse", &cheap()).unwrap())).unwrap();
    store.add_user("CN=edge-1.example/x@y", None).unwrap();
    store.give_role("alice", "app").unwrap();
    store.give_role("alice", "ops").unwrap();
    store.add_token("alice", "laptop", &NewToken::draw()).unwrap();
    store.add_token("alice", "", &NewToken::draw()).unwrap();
    store
}

#[test]
fn a6_a_book_is_read_as_it_was_written() {
    let store = store();
    let text = store.to_toml();
    assert_eq!(UserStore::from_toml(&text, &AuthConfig::new()).unwrap(), store);
    assert!(text.contains("version = 1") && !text.contains("correct horse"), "{text}");
}

#[test]
fn a6_a_file_that_is_not_right_is_refused_and_not_shown() {
    let config = AuthConfig::new();
    let good = store().to_toml();
    let secret = good.lines().find(|line| line.starts_with("sha256")).unwrap().to_owned();
    for (what, from, to) in [
        ("no version", "version = 1", ""),
        ("a later version", "version = 1", "version = 2\nnews = 1"),
        ("an unknown field", "admin = true", "admn = true"),
        ("another type", "admin = true", "admin = 1"),
        ("a pattern of none", "read = [", "read = ['a*b', "),
        ("a short hash", "sha256 = \"", "sha256 = \"0"),
        ("another hash", "$argon2id$", "$argon2d$"),
        ("a role that is not there", "roles = [", "roles = ['nobody', "),
        ("a user of no name", "[users.alice]", "[users.'al ice']"),
        ("no TOML", "[users.alice]", "[users.alice"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{what}");
        let refusal = UserStore::from_toml(&bad, &config).unwrap_err().message;
        let hash = secret.split('"').nth(1).unwrap();
        assert!(!refusal.contains(hash) && !refusal.contains("$argon2"), "{what}: {refusal}");
    }
    let later = good.replacen("version = 1", "version = 2\nnews = 1", 1);
    assert!(UserStore::from_toml(&later, &config).unwrap_err().message.contains("version is 2"));
    let unknown = good.replacen("admin = true", "admn = true", 1);
    let refusal = UserStore::from_toml(&unknown, &config).unwrap_err().message;
    assert!(refusal.contains("line ") && refusal.contains("admn"), "{refusal}");
}

#[test]
fn a6_each_limit_has_a_name() {
    let store = store();
    type Change = fn(&mut AuthConfig);
    let limits: [(&str, u64, Change); 5] = [
        ("auth.users_max", 1, |config| config.users_max = 1),
        ("auth.roles_max", 1, |config| config.roles_max = 1),
        ("auth.role_patterns_max", 6, |config| config.role_patterns_max = 6),
        ("auth.tokens_per_user_max", 1, |config| config.tokens_per_user_max = 1),
        ("auth.name_bytes_max", 4, |config| config.name_bytes_max = 4),
    ];
    store.check(&AuthConfig::new()).unwrap();
    for (name, value, change) in limits {
        let mut config = AuthConfig::new();
        change(&mut config);
        let refusal = store.check(&config).unwrap_err();
        assert!(refusal.message.contains(name), "{name}: {refusal}");
        assert_eq!(refusal.details, Details::Limit { name: name.to_owned(), value });
    }
    let passwords =
        [("auth.password_bytes_min", 8, "short"), ("auth.password_bytes_max", 8, "far too long")];
    for (name, value, password) in passwords {
        let mut config = AuthConfig::new();
        (config.password_bytes_min, config.password_bytes_max) = (8, 8);
        let refusal = hash_password(password, &config).unwrap_err();
        assert_eq!(refusal.details, Details::Limit { name: name.to_owned(), value });
    }
}

#[test]
fn a6_what_is_not_there_cannot_be_changed() {
    let mut store = store();
    let before = store.clone();
    assert!(store.add_user("alice", None).unwrap_err().contains("already"));
    assert!(store.add_user("", None).is_err() && store.add_user("a b", None).is_err());
    assert!(store.add_role("app").unwrap_err().contains("already"));
    assert!(store.give_role("alice", "nobody").unwrap_err().contains("no role"));
    assert!(store.give_role("nobody", "app").unwrap_err().contains("no user"));
    assert!(store.take_role("alice", "nobody").unwrap_err().contains("does not have"));
    assert!(store.revoke("app", Action::Read, &Pattern::all()).unwrap_err().contains("grant"));
    assert!(store.remove_user("nobody").is_err() && store.remove_role("nobody").is_err());
    assert!(store.remove_token("alice", "nothing").unwrap_err().contains("no token"));
    assert!(store.set_password("alice", Some("plain")).is_err());
    assert_eq!(store, before);
    store.remove_role("app").unwrap();
    let roles: Vec<&str> = store.user("alice").unwrap().roles().collect();
    assert_eq!(roles, ["ops"], "a role goes from its users too");
    store.remove_token("alice", "laptop").unwrap();
    assert_eq!(store.user("alice").unwrap().tokens().count(), 1);
}

#[test]
fn a6_a_file_is_changed_whole_and_kept_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let config = cheap();
    let file = AuthFile::new(dir.path().join("users.toml"));
    assert_eq!(file.read(&config).unwrap_err().code, ErrorCode::InvalidArgument);
    let refuse = |why: String| crate::Error::new(ErrorCode::InvalidArgument, why);
    file.update(&config, |store| store.add_user("alice", None).map_err(refuse)).unwrap();
    let text = std::fs::read(file.path()).unwrap();
    let refused = file.update(&config, |store| store.add_user("alice", None).map_err(refuse));
    assert!(refused.unwrap_err().message.contains("already"));
    let full = AuthConfig { users_max: 1, ..config.clone() };
    let refused = file.update(&full, |store| store.add_user("bob", None).map_err(refuse));
    assert!(refused.unwrap_err().message.contains("auth.users_max"));
    let short = AuthConfig { file_bytes_max: 10, ..config.clone() };
    let refused = file.read(&short).unwrap_err();
    assert!(refused.message.contains("auth.file_bytes_max is 10"), "{refused}");
    let limit = Details::Limit { name: "auth.file_bytes_max".to_owned(), value: 10 };
    assert_eq!(refused.details, limit);
    assert_eq!(std::fs::read(file.path()).unwrap(), text, "as it was");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = || std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        let of_root = std::os::unix::fs::MetadataExt::uid(&file.path().metadata().unwrap()) == 0;
        for (mode, good) in [(0o400, true), (0o640, of_root), (0o644, false), (0o620, false)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file.path(), permissions).unwrap();
            assert_eq!(file.read(&config).is_ok(), good, "{mode:o}");
        }
        assert!(file.read(&config).unwrap_err().message.contains("chmod 600"));
    }
}

fn add(file: &AuthFile, name: &str) -> Result<(), crate::Error> {
    let refuse = |why: String| crate::Error::new(ErrorCode::InvalidArgument, why);
    file.update(&cheap(), |store| store.add_user(name, None).map_err(refuse))
}

#[cfg(unix)]
#[test]
fn a6_a_file_that_is_changed_keeps_its_owner_group_and_mode() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let dir = tempfile::tempdir().unwrap();
    let file = AuthFile::new(dir.path().join("users.toml"));
    add(&file, "alice").unwrap();
    let access = || {
        let metadata = std::fs::metadata(file.path()).unwrap();
        (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o777)
    };
    let (uid, gid, _) = access();
    // Root may give it to anyone, other users to one of their groups.
    let (uid, gid) = if uid == 0 {
        (12_345, 54_321)
    } else {
        let groups = rustix::process::getgroups().unwrap();
        (uid, groups.last().map_or(gid, |group| group.as_raw()))
    };
    chown(file.path(), Some(uid), Some(gid)).unwrap();
    for mode in [0o600, 0o400] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(file.path(), permissions).unwrap();
        add(&file, &format!("user-{mode}")).unwrap();
        assert_eq!(access(), (uid, gid, mode));
    }
}

#[cfg(unix)]
#[test]
fn a6_a_symbolic_link_to_the_file_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let [real, linked] = ["real", "linked"].map(|name| dir.path().join(name));
    std::fs::create_dir(&real).unwrap();
    std::fs::create_dir(&linked).unwrap();
    let link = AuthFile::new(linked.join("users.toml"));
    std::os::unix::fs::symlink("../real/book.toml", link.path()).unwrap();
    let refused = add(&link, "alice").unwrap_err();
    assert!(refused.message.contains("dangling symbolic link"), "{refused}");
    let file = AuthFile::new(real.join("book.toml"));
    add(&file, "alice").unwrap();
    add(&link, "bob").unwrap();
    assert!(link.path().is_symlink());
    assert!(file.read(&cheap()).unwrap().user("bob").is_ok());
    for dir in [real, linked] {
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 1, "nothing else is left");
    }
}
