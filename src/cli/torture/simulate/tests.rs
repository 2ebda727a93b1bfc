use super::on_its_own_thread;

fn digest(seed: u64) -> (u64, u64) {
    let ran = on_its_own_thread(seed, 3_000).unwrap_or_else(|it| {
        panic!("seed {seed}, event {}: {}\n{}", it.event, it.what, it.history)
    });
    (ran.digest, ran.events)
}

#[test]
fn one_seed_is_one_run_to_the_byte() {
    for seed in 0..8 {
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
    }
    assert_ne!(digest(1), digest(2));
}
