//! `docs/protocol.md` is right: its worked example is what goes over the wire.
