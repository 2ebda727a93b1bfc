//! The user file while it changes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::Action;
use super::logins::World;

/// Returns the content of `world`'s file after so much padding that reading it takes a while.
fn padded(world: &World) -> String {
    let text = std::fs::read_to_string(world.file.path()).unwrap();
    format!("{}{text}", format!("#{}\n", "x".repeat(98)).repeat(300))
}

/// Writes in place, as editors and copying do.
fn overwrite(world: &World, text: &str) {
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(world.file.path())
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap();
}

/// Replaces the file, as commands do.
fn replace(world: &World, text: &str) {
    let new = world.file.path().with_extension("new");
    std::fs::copy(world.file.path(), &new).unwrap();
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, world.file.path()).unwrap();
}

#[actix_rt::test]
async fn a6_a_file_that_became_bad_changes_nothing() {
    let world = World::new(|_| {});
    let login = world.token().await;
    assert!(!world.auth.reload_if_changed().unwrap() && !world.auth.reload().unwrap());
    std::fs::write(world.file.path(), "version = 1\nuser = 3\n").unwrap();
    world.auth.reload_if_changed().unwrap_err();
    assert!(!world.auth.reload_if_changed().unwrap(), "said once");
    assert!(world.auth.access(&login).is_some());
    std::fs::remove_file(world.file.path()).unwrap();
    world.auth.reload_if_changed().unwrap_err();
    assert!(world.auth.access(&login).is_some());
}

#[actix_rt::test]
async fn a4_a_file_that_is_completed_while_it_is_read_is_read_again() {
    let world = World::new(|_| {});
    let good = padded(&world);
    let revoked = good.replace("roles = [\"app\"]", "roles = []");
    assert_ne!(good, revoked);
    let login = world.token().await;
    let may_read = || world.auth.access(&login).unwrap().has(Action::Read, b"a/b");
    for _ in 0..20 {
        overwrite(&world, &good);
        world.auth.reload().unwrap();
        assert!(may_read());
        // Cut in the middle of a name, the file is invalid.
        let (first, rest) = revoked.split_at(revoked.find("users.alice").unwrap() + 8);
        overwrite(&world, first);
        let both = Barrier::new(2);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut file = OpenOptions::new().append(true).open(world.file.path()).unwrap();
                both.wait();
                file.write_all(rest.as_bytes()).unwrap();
            });
            both.wait();
            let _ = world.auth.reload();
        });
        let _ = world.auth.reload_if_changed();
        assert!(!may_read(), "what it says now was never read");
    }
}

#[actix_rt::test]
async fn a4_a_change_of_the_same_length_at_the_same_time_is_noticed() {
    let world = World::new(|_| {});
    let login = world.token().await;
    world.auth.reload().unwrap();
    let text = std::fs::read_to_string(world.file.path()).unwrap();
    let modified = std::fs::metadata(world.file.path()).unwrap().modified().unwrap();
    overwrite(&world, &text.replace("a/*", "b/*"));
    let file = File::options().append(true).open(world.file.path()).unwrap();
    file.set_modified(modified).unwrap();
    assert!(world.auth.reload_if_changed().unwrap());
    assert!(!world.auth.access(&login).unwrap().has(Action::Read, b"a/b"));
}

#[cfg(unix)]
#[test]
fn a4_a_file_is_read_when_it_may_be_at_last() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(|_| {});
    let set_mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(world.file.path(), permissions).unwrap();
    };
    world.update(|store| store.remove_user("alice").unwrap());
    set_mode(0o644);
    world.auth.reload_if_changed().unwrap_err();
    assert!(!world.auth.reload_if_changed().unwrap(), "said once");
    set_mode(0o600);
    assert!(world.auth.reload_if_changed().unwrap(), "nothing but its mode has changed");
}

#[actix_rt::test]
async fn a4_of_two_who_read_the_file_nobody_brings_back_what_it_said_before() {
    let world = World::new(|_| {});
    let login = world.token().await;
    let with = padded(&world);
    let texts = [with.replace("roles = [\"app\"]", "roles = []"), with];
    let (done, read, reader) = (AtomicBool::new(false), AtomicU64::new(0), world.auth.clone());
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                reader.reload().unwrap();
                read.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Not asserted here, because the other thread would then wait in vain.
        let held = (0..10).all(|round| {
            let granted = round % 2 == 1;
            replace(&world, &texts[usize::from(granted)]);
            let reloaded = world.auth.reload().is_ok();
            // Waits until the other thread has finished the read it had begun.
            let begun = read.load(Ordering::Relaxed);
            while read.load(Ordering::Relaxed) == begun {
                std::thread::yield_now();
            }
            reloaded && world.auth.access(&login).unwrap().has(Action::Read, b"a/b") == granted
        });
        done.store(true, Ordering::Relaxed);
        assert!(held, "what was read earlier came back");
    });
}
