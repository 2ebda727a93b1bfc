//! The limits of ports and of services.

use std::net::SocketAddr;

use wakeful::{Error, ErrorCode, MethodContext, Methods, Service, Wakeful};

use super::{Row, refusal, typed};
use crate::support::body::{self, Body};
use crate::support::raw::{ERROR, PONG, Raw, frame, request};

/// Opens a second connection, and returns its refusal.
fn second(addr: SocketAddr) -> Error {
    let _first = Raw::open(addr);
    let mut second = Raw::connect(addr);
    second.expect_preface();
    typed(second.refused())
}

/// Returns a service whose method `Hello` returns more than eight bytes.
fn greeter(name: &str) -> Service {
    Service::new(name)
        .method("Hello", async |(): (), _: MethodContext| Ok::<_, Error>("x".repeat(9)))
}

async fn call(wakeful: &Wakeful) -> Error {
    wakeful.register(greeter("Greeter")).unwrap();
    refusal(wakeful, wakeful.invoke::<String>("Greeter.Hello", &())).await
}

pub(super) fn rows() -> Vec<Row> {
    [connections(), frames(), services()].into_iter().flatten().collect()
}

fn connections() -> Vec<Row> {
    vec![
        Row::over_tcp("rpc.connections_max", "1", 1, second),
        Row::over_tcp("rpc.connections_per_address_max", "1", 1, second),
        // The limit per address is reached as well: the limit of all connections is named.
        Row::over_tcp("rpc.connections_max", "1", 1, second)
            .with(&[("rpc.connections_per_address_max", "1")]),
        // More files than any system lets a process open.
        Row::inside(
            "rpc.descriptors_reserved",
            "1_000_000_000_000",
            1_000_000_000_000,
            async |it: &Wakeful| refusal(it, it.listen("127.0.0.1:0")).await,
        ),
    ]
}

fn frames() -> Vec<Row> {
    vec![
        Row::over_tcp("rpc.control_frames_max", "5", 5, |addr| {
            let mut raw = Raw::open(addr);
            raw.send(&frame(PONG, 0, 9, b"").repeat(6));
            typed(raw.refused())
        }),
        Row::over_tcp("rpc.total_output_bytes_max", "64KiB", 64 << 10, |addr| {
            let (mut raw, mut deaf) = (Raw::open(addr), Raw::open(addr));
            raw.set(b"big", &vec![b'x'; 1 << 20]);
            deaf.send(&(1..=60).flat_map(|id| request(id, body::get(b"big"))).collect::<Vec<_>>());
            loop {
                let frame = raw.call(body::get(b"big"));
                if frame.kind == ERROR {
                    return typed(frame.refusal());
                }
            }
        }),
        Row::over_tcp("rpc.frame_bytes_max", "9MiB", 9 << 20, |addr| {
            let mut raw = Raw::open(addr);
            let mut header = request(1, Body::new());
            header[..4].copy_from_slice(&((9_u32 << 20) + 1).to_le_bytes());
            raw.send(&header);
            typed(raw.refused())
        })
        .code(ErrorCode::FrameTooLarge),
        Row::over_tcp("store.value_bytes_max", "8", 8, |addr| {
            typed(Raw::open(addr).call(body::set(b"a", b"123456789")).refusal())
        }),
    ]
}

fn services() -> Vec<Row> {
    vec![
        Row::inside("services.services_max", "1", 1, async |it: &Wakeful| {
            it.register(greeter("Greeter")).unwrap();
            let refused = refusal(it, async { it.register(greeter("Another")) }).await;
            assert_eq!(it.services().await.unwrap().len(), 1);
            refused
        }),
        Row::inside("services.calls_max", "0", 0, call),
        Row::inside("services.output_bytes_max", "8", 8, call),
    ]
}
