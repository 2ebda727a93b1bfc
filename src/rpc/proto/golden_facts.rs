//! The table of requests in `docs/protocol.md` agrees with the facts that the server uses.

use std::fmt::Write as _;

use super::golden::DOCUMENT;
use super::*;
use crate::auth::{Access, Action, Pattern, Role};
use crate::held::ConcernedJobs;
use crate::model::facts::{Class, DiskUse, Facts, Repeat, Weight};
use crate::model::{DeleteRequest, JobRequest, KeyRange, KvRequest, Request, RpcCall};
use crate::rpc::codec::decode;
use crate::rpc::json::variants;

/// Returns the calls of the document, and those whose facts depend on their content.
fn calls() -> Vec<RpcCall> {
    let bodies = request_bodies();
    let call = |body: &Vec<u8>| RpcCall::from(decode::<WireCall<'_>>(body).unwrap());
    let mut calls: Vec<RpcCall> = bodies.iter().map(call).collect();
    let topic = || "t".into();
    calls.extend(
        [
            KvRequest::Delete(DeleteRequest::new(KeyRange::key("a"))).into(),
            Request::Job(JobRequest::Replay { topic: topic(), id: None }),
            Request::Job(JobRequest::DeleteDead { topic: topic(), id: None }),
            Request::Job(JobRequest::PauseTopic { topic: topic(), paused: false }),
        ]
        .map(RpcCall::from),
    );
    calls
}

/// Returns the name of a call in JSON.
pub(crate) fn name_of(call: &RpcCall) -> String {
    let prefix = match call {
        RpcCall::Store { request: Request::Job(_), .. } => "Job",
        _ => "",
    };
    format!("{prefix}{}", call.facts().name)
}

/// Returns the columns of a row behind its name.
fn columns(facts: &Facts<'_>) -> [&'static str; 5] {
    let class = match facts.class {
        Class::Open => "everyone",
        Class::Read => "read",
        Class::Write => "write",
        Class::Admin => "admin",
    };
    let disk = match facts.disk {
        DiskUse::Nothing => "",
        DiskUse::Record => "record",
        DiskUse::Growth => "growth",
        DiskUse::Conclusion => "always",
        DiskUse::Files => "files",
    };
    let weight = match facts.weight {
        Weight::Light => "light",
        Weight::Large => "large",
        Weight::Heavy => "heavy",
        Weight::Page => "page",
    };
    let repeat = match facts.repeat {
        Repeat::Always => "yes",
        Repeat::Keyed => "with a key",
        Repeat::Indexed => "with indexes",
        Repeat::Never => "no",
        Repeat::Renewed => "anew",
    };
    [class, disk, weight, repeat, facts.act.map_or("", |act| act.name)]
}

/// Returns the names of requests in JSON, in the order of the protocol.
pub(crate) fn request_names() -> Vec<String> {
    let plain = variants::<WireRequest<'_>>().iter().filter(|name| **name != "Job");
    let jobs = variants::<WireJobRequest<'_>>().iter().map(|name| format!("Job{name}"));
    plain.map(|name| (*name).to_owned()).chain(jobs).collect()
}

#[test]
fn r1_what_holds_of_each_request_is_as_documented() {
    let calls = calls();
    let mut table = String::new();
    for name in request_names() {
        let rows = calls.iter().filter(|call| name_of(call) == name);
        let rows: Vec<[&str; 5]> = rows.map(|call| columns(&call.facts())).collect();
        assert!(
            !rows.is_empty(),
            "{name} has no bytes in docs/protocol.md, or another name in the facts"
        );
        write!(table, "| {name} |").unwrap();
        for column in 0..5 {
            let mut values: Vec<&str> = Vec::new();
            for row in rows.iter().map(|row| row[column]) {
                if !values.contains(&row) {
                    values.push(row);
                }
            }
            let values = values.join(", ");
            let space = if values.is_empty() { "" } else { " " };
            write!(table, "{space}{values} |").unwrap();
        }
        table.push('\n');
    }
    let documented =
        DOCUMENT.split_once("| Request | For | Record | Weight | Again | Audited as |\n");
    let (_, documented) = documented.unwrap();
    let (_, documented) = documented.split_once('\n').unwrap();
    let documented = documented.split_once("\n\n").map_or(documented, |(rows, _)| rows);
    assert_eq!(documented.trim_end(), table.trim_end());
}

/// The audit log contains every administrative request except those that only read.
#[test]
fn a8_every_administrative_request_that_changes_something_is_audited() {
    for call in calls() {
        let facts = call.facts();
        let looks = facts.disk == DiskUse::Nothing && facts.repeat == Repeat::Always;
        if facts.class == Class::Admin {
            assert!(facts.act.is_some() || looks, "{}", facts.name);
        } else {
            assert!(facts.act.is_none(), "{}", facts.name);
        }
    }
}

/// A user with every grant may do everything that is not reserved for administrators, and nothing else.
#[test]
fn a2_only_administrative_requests_need_an_administrator() {
    let mut role = Role::default();
    for action in Action::ALL {
        role.grant(action, Pattern::all());
    }
    let (granted, nobody) = (Access::new([&role]), Access::new(&[]));
    for call in calls() {
        let RpcCall::Store { request, .. } = &call else { continue };
        let class = request.facts().class;
        assert_eq!(granted.permits(request).is_ok(), class != Class::Admin, "{call:?}");
        assert_eq!(nobody.permits(request).is_ok(), class == Class::Open, "{call:?}");
    }
}

#[test]
fn r1_a_request_that_waits_can_be_made_to_wait_for_less() {
    let mut parked = 0;
    for call in calls() {
        let RpcCall::Store { request: Request::Job(mut job), .. } = call else { continue };
        let less = Duration::from_millis(1);
        let parks = job.parks();
        job.wait_at_most(less, less);
        parked += usize::from(parks);
        assert!(!parks || job.wait() == Some(less), "{job:?}");
    }
    assert!(parked >= 5);
}

/// A request that settles, keeps or resumes jobs names their reservations.
#[test]
fn r5_a_request_that_concludes_names_its_reservations() {
    let mut concluding = 0;
    for call in calls() {
        let RpcCall::Store { request: Request::Job(job), .. } = call else { continue };
        let names = !ConcernedJobs::of(&job).reservations.is_empty();
        assert_eq!(job.concludes(), names, "{job:?}");
        concluding += usize::from(names);
    }
    assert!(concluding >= 4);
}
