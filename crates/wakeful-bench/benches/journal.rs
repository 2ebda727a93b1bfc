//! The journal's append and sync of batches of records, compared with a plain append of the same
//! bytes to an existing file of full size, with one fdatasync per batch.
//!
//! Without criterion: the duration of a sync drifts by more than the difference to be seen, so both
//! take turns, and the ratio is the median of the ratios of the rounds. The data is under
//! `target/`.

#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing to say")]
#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use wakeful::internals::BenchJournal;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: wakeful::Allocator = wakeful::Allocator;

const RECORD: [u8; 100] = [b'x'; 100];
const RECORDS: usize = 50;
const ROUNDS: usize = 21;
const BATCHES: usize = 500;
const AIM: f64 = 1.5;

/// A file of written zeros, as large as the data to append.
struct Bare {
    file: File,
    at: u64,
    bytes: Vec<u8>,
}

impl Bare {
    fn make(path: &Path, batches: usize) -> std::io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        let zeros = vec![0; RECORD.len() * RECORDS];
        for batch in 0..batches {
            file.write_all_at(&zeros, (batch * zeros.len()) as u64)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0, bytes: Vec::new() })
    }

    fn commit<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) -> std::io::Result<()> {
        self.bytes.clear();
        records.for_each(|record| self.bytes.extend_from_slice(record));
        self.file.write_all_at(&self.bytes, self.at)?;
        self.at += self.bytes.len() as u64;
        self.file.sync_data()
    }
}

/// Returns the duration of each batch of a round.
fn round(batches: usize, mut commit: impl FnMut()) -> Vec<Duration> {
    (0..batches)
        .map(|_| {
            let begun = Instant::now();
            commit();
            begun.elapsed()
        })
        .collect()
}

fn records() -> impl Iterator<Item = &'static [u8]> {
    std::iter::repeat_n(&RECORD[..], RECORDS)
}

fn quantile(mut times: Vec<Duration>, part: f64) -> f64 {
    times.sort_unstable();
    let place = (times.len() as f64 * part) as usize;
    times.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() {
    // Under `cargo test` it only shows that it runs.
    let (rounds, batches) =
        if std::env::args().any(|it| it == "--bench") { (ROUNDS, BATCHES) } else { (1, 2) };
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut bare = Bare::make(&dir.path().join("bare"), rounds * batches).expect("a file");
    let mut log = BenchJournal::open(&dir.path().join("journal")).expect("a journal");
    let begun = Instant::now();
    while log.segments() < 2 && begun.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_millis(1));
    }

    let (mut bares, mut logs) = (Vec::new(), Vec::new());
    for turn in 0..rounds {
        let mut of_bare = || {
            bares.push(round(batches, || bare.commit(records()).expect("a write")));
        };
        let mut of_log = || logs.push(round(batches, || log.commit(records()).expect("a write")));
        if turn % 2 == 0 {
            of_bare();
            of_log();
        } else {
            of_log();
            of_bare();
        }
    }

    let names = ["bare write and fdatasync", "journal"];
    println!("{rounds} rounds of {batches} batches of {RECORDS} x {} bytes", RECORD.len());
    for (name, of) in names.into_iter().zip([&bares, &logs]) {
        let all = of.concat();
        let mean = all.iter().sum::<Duration>().as_secs_f64() * 1e6 / all.len() as f64;
        let (p50, p99) = (quantile(all.clone(), 0.5), quantile(all, 0.99));
        println!("{name}: a batch takes {p50:.0} us (p50), {p99:.0} us (p99), {mean:.0} us (mean)");
    }
    let sum = |of: &Vec<Duration>| of.iter().sum::<Duration>().as_secs_f64();
    let totals = bares.iter().zip(&logs).map(|(bare, log)| sum(log) / sum(bare)).collect();
    let medians = bares.iter().zip(&logs);
    let medians = medians.map(|(a, b)| quantile(b.clone(), 0.5) / quantile(a.clone(), 0.5));
    let (totals, medians) = (median(totals), median(medians.collect()));
    let verdict = if totals <= AIM { "met" } else { "missed" };
    println!(
        "journal / bare: {totals:.2} of whole rounds (<= {AIM}: {verdict}), {medians:.2} of p50"
    );
    println!(
        "journal: {} bytes, {} segments; making them, in the background, is in its time",
        log.bytes(),
        log.segments()
    );
    log.close().expect("a clean end");
}
