//! A short run of `wakeful torture`.

use crate::process::run;

#[test]
fn d2_j17_j21_torture_finds_nothing_lost() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let dir = dir.to_str().unwrap();
    let rounds = ["--rounds", "2", "--power-cuts", "20", "--seed", "7", "--json"];
    let ran = run(&[&["torture", "--data-dir", dir][..], &rounds].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((told["losses"].as_u64(), told["kills"].as_u64()), (Some(0), Some(2)));
    assert!(told["acknowledged"].as_u64().unwrap() > 0, "{told}");
    // The last server always loses workers with running jobs, and some of them return.
    for name in ["workers_cut", "jobs_returned", "jobs_resumed"] {
        assert!(told[name].as_u64().unwrap() > 0, "{name} of {told}");
    }
}

#[test]
fn one_seed_of_a_simulation_is_one_run_in_every_process() {
    let simulate = || {
        let ran = run(&["torture", "--simulate", "--seed", "3", "--seeds", "2", "--json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let mut told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        told["seconds"].take();
        assert!(told["acknowledged"].as_u64().unwrap() > 0, "{told}");
        told
    };
    assert_eq!(simulate(), simulate());
}
